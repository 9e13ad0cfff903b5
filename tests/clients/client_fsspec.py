"""fsspec's own tools: chains, caches, archives, rsync, mappers, the asynchronous wrapper."""

import asyncio
import pickle
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fsspec
from fsspec.generic import rsync
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

CONTENT = bytes(range(256)) * 2_000


def read(packed: bytes) -> bytes:
    """In another process."""
    fs, name = pickle.loads(packed)
    with fs.open(name) as file:
        return file.read()


async def ask(fs) -> None:
    """Through the wrapper."""
    found = AsyncFileSystemWrapper(fs, asynchronous=True)
    await found._pipe_file("async/a", b"0123456789")
    assert await found._cat_file("async/a", start=2, end=4) == b"23"
    assert await found._cat(["async/a", "none"], on_error="omit") == {"async/a": b"0123456789"}
    assert (await found._info("async/a"))["size"] == 10
    assert await found._find("async") == ["async/a"]
    await found._rm("async", recursive=True)
    assert not await found._exists("async/a")


def main() -> None:
    """Try them all."""
    fs = fsspec.filesystem("ds")
    fs.pipe_file("chain/a", CONTENT)
    with tempfile.TemporaryDirectory() as folder:
        for cache in ("simplecache", "filecache", "blockcache"):
            chain = {cache: {"cache_storage": f"{folder}/{cache}"}}
            for _ in range(2):
                with fsspec.open(f"{cache}::ds://chain/a", **chain) as file:
                    assert file.read() == CONTENT, cache
        local = Path(
            fsspec.open_local(
                "filecache::ds://chain/a",
                filecache={"cache_storage": f"{folder}/l", "check_files": True},
            )
        )
        assert local.read_bytes() == CONTENT
        with fsspec.open("simplecache::ds://chain/written", "wb") as file:
            file.write(CONTENT)
        assert fs.cat_file("chain/written") == CONTENT
        with fs.open("chain/z.zip", "wb") as file, zipfile.ZipFile(file, "w") as packed:
            packed.writestr("inside/a.txt", CONTENT)
        with fsspec.open("zip://inside/a.txt::ds://chain/z.zip") as file:
            assert file.read() == CONTENT
        rsync("ds://chain", f"file://{folder}/out")
        assert (Path(folder) / "out/a").read_bytes() == CONTENT
        rsync(f"file://{folder}/out", "ds://back")
        assert fs.cat_file("back/a") == CONTENT
    inner = fsspec.filesystem("dir", path="chain", fs=fs)
    assert inner.cat_file("a") == CONTENT and sorted(inner.ls("", detail=False)) == [
        "a",
        "written",
        "z.zip",
    ]
    mapper = fsspec.get_mapper("ds://mapper")
    mapper.update({"a/b": b"1", "c": b"2"})
    assert dict(mapper) == {"a/b": b"1", "c": b"2"}
    files = fsspec.open_files("ds://many/part-*.txt", "wt", num=3)
    with files as opened:
        for number, file in enumerate(opened):
            file.write(f"{number}é")
    with fsspec.open_files("ds://many/*.txt", "rt") as opened:
        assert [file.read() for file in opened] == ["0é", "1é", "2é"]
    asyncio.run(ask(fs))
    for context in ("fork", "spawn"):
        with ProcessPoolExecutor(2, mp_context=get_context(context)) as pool:
            assert list(pool.map(read, [pickle.dumps((fs, "chain/a"))] * 4)) == [CONTENT] * 4
    print("right")


if __name__ == "__main__":
    main()
