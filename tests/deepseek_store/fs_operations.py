"""Random operations on fsspec filesystems, and what each answers in a form to be compared.

    python tests/deepseek_store/fs_operations.py 5000

runs so many sequences over ours and fsspec's memory filesystem, and shows the first difference.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from deepseek_store import Store
from deepseek_store.fs.filesystem import DeepSeekFileSystem

NAMES = ("a", "b", "a/b", "a/c", "a/b/c", "top.txt", "dir/x", "dir/y/z", "dir/y", "ü")
FOLDERS = ("", "a", "dir", "dir/y", "new", "new/deep")
PATTERNS = ("*", "a*", "**", "dir/*", "*/*", "dir/**", "?", "[ab]", "no*", "dir/y/*", "*.txt")
ENDS = (None, b"\n")
ENCODINGS = ("utf-8", "utf-16", "utf-32", "utf-8-sig")
Step = tuple[str, tuple[Any, ...]]


def steps(rng: random.Random, count: int, kinds: tuple[str, ...] | None = None) -> list[Step]:
    """Operations with their arguments."""
    chosen = kinds or tuple(_MAKERS)
    return [(kind, _MAKERS[kind](rng)) for kind in rng.choices(chosen, k=count)]


def answer(fs: AbstractFileSystem, step: Step, place: Path) -> Any:
    """What an operation gives, or the name of its error; `place` is an empty folder for it."""
    kind, arguments = step
    try:
        return _plain(_RUNNERS[kind](fs, place, *arguments))
    except Exception as error:  # noqa: BLE001 - it is what is compared
        return f"raises {_kind_of(error)}"


def content(fs: AbstractFileSystem) -> tuple[dict[str, bytes], set[str]]:
    """All files, and all folders but the root."""
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for name, entry in fs.find("", withdirs=True, detail=True).items():
        if entry["type"] == "file":
            files[name.strip("/")] = fs.cat_file(name)
        elif name.strip("/"):
            folders.add(name.strip("/"))
    return files, folders


@contextmanager
def new_ours(home: Path) -> Iterator[DeepSeekFileSystem]:
    """Ours, over a new store."""
    Store.init(home).close()
    fs = DeepSeekFileSystem(str(home))
    yield fs
    fs.close()


def new_memory() -> MemoryFileSystem:
    """An empty memory filesystem of its own."""
    return MemoryFileSystem(global_store=False, skip_instance_cache=True)


def new_local(root: Path) -> AbstractFileSystem:
    """A folder on a disk, with paths as ours."""
    return DirFileSystem(str(root), LocalFileSystem(auto_mkdir=True), skip_instance_cache=True)


# Arguments


def _name(rng: random.Random) -> str:
    return rng.choice(NAMES)


def _place(rng: random.Random) -> str:
    return rng.choice(NAMES + FOLDERS) + rng.choice(("", "", "/"))


def _source(rng: random.Random) -> Any:
    if rng.random() < 0.15:
        return rng.choice(PATTERNS)
    if rng.random() < 0.1:
        return rng.sample(NAMES, 2)
    return _place(rng)


def _bound(rng: random.Random) -> int | None:
    return rng.choice((None, 0, 1, 3, 7, 100, -1, -3, -100))


_Makers = dict[str, Callable[[random.Random], tuple[Any, ...]]]
_MAKERS: _Makers = {
    "pipe": lambda r: (_name(r), r.randbytes(r.randint(0, 9)), r.choice(("overwrite", "create"))),
    "pipe many": lambda r: ({_name(r): r.randbytes(3) for _ in range(3)},),
    "cat_file": lambda r: (_name(r), _bound(r), _bound(r)),
    "cat_ranges": lambda r: ([_name(r), _name(r)], [r.randint(0, 9), 2], [_bound(r), 12]),
    "cat": lambda r: (_source(r), r.random() < 0.3),
    "head": lambda r: (_name(r), r.randint(0, 12)),
    "tail": lambda r: (_name(r), r.randint(0, 12)),
    "read_block": lambda r: (_name(r), r.randint(0, 12), r.choice((None, 0, 4)), r.choice(ENDS)),
    "info": lambda r: (_place(r),),
    "is": lambda r: (_place(r),),
    "ls": lambda r: (_place(r), r.random() < 0.5),
    "find": lambda r: (_place(r), r.choice((None, 1, 2)), r.random() < 0.5),
    "glob": lambda r: (r.choice(PATTERNS),),
    "walk": lambda r: (_place(r), r.choice((None, 1, 2))),
    "du": lambda r: (_place(r), r.random() < 0.5),
    "expand_path": lambda r: (_source(r), r.random() < 0.5, r.choice((None, 1, 2))),
    "mkdir": lambda r: (_place(r), r.random() < 0.5),
    "makedirs": lambda r: (_place(r), r.random() < 0.5),
    "rmdir": lambda r: (_place(r),),
    "rm": lambda r: (_source(r), r.random() < 0.5),
    "rm_file": lambda r: (_name(r),),
    "cp": lambda r: (_source(r), _place(r), r.random() < 0.5),
    "cp_file": lambda r: (_name(r), _name(r)),
    "mv": lambda r: (_source(r), _place(r), r.random() < 0.5),
    "get": lambda r: (_source(r), r.choice(("there", "there/", "new", "new/")), r.random() < 0.5),
    "put": lambda r: (r.choice(("f", "d", "d/", "d/*", "*", "none")), _place(r), r.random() < 0.5),
    "touch": lambda r: (_name(r), r.random() < 0.5),
    "write": lambda r: (_name(r), r.choice(("wb", "xb", "ab")), r.randbytes(5)),
    "write text": lambda r: (_name(r), r.choice(("w", "a", "x")), r.choice(ENCODINGS)),
    "read": lambda r: (_name(r), r.randint(-2, 12), r.randint(0, 2), r.randint(-1, 12)),
    "lines": lambda r: (_name(r), r.choice((-1, 0, 2, 100))),
    "modified": lambda r: (_place(r),),
    "mapper": lambda r: (r.choice(FOLDERS), _name(r)),
    "size": lambda r: (_place(r),),
    "sizes": lambda r: ([_name(r), _name(r)],),
}  # fmt: skip
CHANGING = frozenset(("pipe", "pipe many", "mkdir", "makedirs", "rmdir", "rm", "rm_file", "cp",
                      "cp_file", "mv", "put", "touch", "write", "write text"))  # fmt: skip
READING = frozenset(_MAKERS) - CHANGING
# What is done with them


def _read(fs: Any, path: str, at: int, whence: int, count: int) -> Any:
    with fs.open(path, "rb") as file:
        return file.seek(at, whence), file.read(count), file.tell(), file.read(1), file.readable()


def _lines(fs: Any, path: str, limit: int) -> Any:
    with fs.open(path, "rb") as file:
        first = file.readline(limit)
        return first, file.readlines(), list(file)


def _write(fs: Any, path: str, mode: str, data: bytes) -> Any:
    with fs.open(path, mode) as file:
        return file.write(data), file.tell(), file.writable()


def _write_text(fs: Any, path: str, mode: str, encoding: str) -> Any:
    with fs.open(path, mode, encoding=encoding) as file:
        return file.write("hä\nb")


def _is(fs: Any, path: str) -> Any:
    return fs.exists(path), fs.isfile(path), fs.isdir(path)


def _walk(fs: Any, path: str, depth: int | None) -> Any:
    found = fs.walk(path, maxdepth=depth)
    return sorted((top.strip("/"), sorted(dirs), sorted(files)) for top, dirs, files in found)


def _ls(fs: Any, path: str, detail: bool) -> Any:
    found = fs.ls(path, detail=detail)
    if detail:
        found = [(entry["name"], entry["type"], entry["size"]) for entry in found]
    return sorted(found, key=str)


def _get(fs: Any, place: Path, source: Any, target: str, recursive: bool) -> Any:
    (place / "there").mkdir()
    try:
        fs.get(source, f"{place}/{target}", recursive=recursive)
    finally:
        fs.fetched = _tree(place)
    return _tree(place)


def _put(fs: Any, place: Path, source: str, target: str, recursive: bool) -> Any:
    (place / "d/sub").mkdir(parents=True)
    for name in ("f", "d/g", "d/sub/h"):
        (place / name).write_bytes(name.encode())
    fs.put(f"{place}/{source}", target, recursive=recursive)


def _mapper(fs: Any, root: str, name: str) -> Any:
    found = fs.get_mapper(root)
    return sorted(found), len(found), name in found, found.get(name)


def _info(fs: Any, path: str) -> Any:
    entry = fs.info(path)
    return entry["name"], entry["type"], entry["size"] if entry["type"] == "file" else 0


def _modified(fs: Any, path: str) -> Any:
    return fs.modified(path).tzinfo is not None, fs.created(path).tzinfo is not None


_RUNNERS: dict[str, Callable[..., Any]] = {
    "pipe": lambda fs, _, path, data, mode: fs.pipe_file(path, data, mode=mode),
    "pipe many": lambda fs, _, items: fs.pipe(items),
    "cat_file": lambda fs, _, path, start, end: fs.cat_file(path, start, end),
    "cat_ranges": lambda fs, _, *rest: [
        _kind_of(found) if isinstance(found, Exception) else found for found in fs.cat_ranges(*rest)
    ],
    "cat": lambda fs, _, source, recursive: fs.cat(source, recursive=recursive, on_error="omit"),
    "head": lambda fs, _, path, size: fs.head(path, size),
    "tail": lambda fs, _, path, size: fs.tail(path, size),
    "read_block": lambda fs, _, *rest: fs.read_block(*rest),
    "info": lambda fs, _, path: _info(fs, path),
    "is": lambda fs, _, path: _is(fs, path),
    "ls": lambda fs, _, path, detail: _ls(fs, path, detail),
    "find": lambda fs, _, path, depth, dirs: fs.find(path, maxdepth=depth, withdirs=dirs),
    "glob": lambda fs, _, pattern: fs.glob(pattern),
    "walk": lambda fs, _, path, depth: _walk(fs, path, depth),
    "du": lambda fs, _, path, total: fs.du(path, total=total),
    "expand_path": lambda fs, _, *rest: fs.expand_path(*rest),
    "mkdir": lambda fs, _, path, parents: fs.mkdir(path, create_parents=parents),
    "makedirs": lambda fs, _, path, ok: fs.makedirs(path, exist_ok=ok),
    "rmdir": lambda fs, _, path: fs.rmdir(path),
    "rm": lambda fs, _, source, recursive: fs.rm(source, recursive=recursive),
    "rm_file": lambda fs, _, path: fs.rm_file(path),
    "cp": lambda fs, _, source, target, recursive: fs.cp(source, target, recursive=recursive),
    "cp_file": lambda fs, _, source, target: fs.cp_file(source, target),
    "mv": lambda fs, _, source, target, recursive: fs.mv(source, target, recursive=recursive),
    "get": _get,
    "put": _put,
    "touch": lambda fs, _, path, truncate: fs.touch(path, truncate=truncate),
    "write": lambda fs, _, *rest: _write(fs, *rest),
    "write text": lambda fs, _, *rest: _write_text(fs, *rest),
    "read": lambda fs, _, *rest: _read(fs, *rest),
    "lines": lambda fs, _, *rest: _lines(fs, *rest),
    "modified": lambda fs, _, path: _modified(fs, path),
    "mapper": lambda fs, _, *rest: _mapper(fs, *rest),
    "size": lambda fs, _, path: fs.size(path) if fs.isfile(path) else None,
    "sizes": lambda fs, _, paths: fs.sizes(paths),
}


def _plain(found: Any) -> Any:
    """Names without the slash that memory puts before them."""
    if isinstance(found, str):
        return found.strip("/")
    if isinstance(found, dict):
        return {_plain(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(each) for each in found]
    return found


def _kind_of(error: Exception) -> str:
    kinds = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
    for kind in (*kinds, OSError, ValueError, TypeError):
        if isinstance(error, kind):
            return kind.__name__
    return type(error).__name__


def _tree(place: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(place)): path.read_bytes() if path.is_file() else None
        for path in sorted(place.rglob("*"))
    }


@attrs.frozen(kw_only=True)
class Outcome:
    """What a step answered and left behind; `folders` of a disk outlive what was in them."""

    answer: Any
    files: dict[str, bytes]
    folders: set[str]

    def is_as(self, other: Outcome, *, folders_stay: bool = False) -> bool:
        """Whether the other one is the same for who uses it."""
        same = self.answer == other.answer and self.files == other.files
        return same and (
            self.folders <= other.folders if folders_stay else self.folders == other.folders
        )


def twins(ours: DeepSeekFileSystem, root: Path) -> tuple[AbstractFileSystem, AbstractFileSystem]:
    """A memory and a local filesystem that hold what ours holds."""
    files, folders = content(ours)
    memory, local = new_memory(), new_local(root)
    for folder in sorted(folders):
        (root / folder).mkdir()
        if ours._tree().has_marker(folder):
            memory.pseudo_dirs.append(f"/{folder}")
    for name, data in files.items():
        memory.pipe_file(name, data)
        (root / name).write_bytes(data)
    return memory, local


def outcome(fs: AbstractFileSystem, step: Step, scratch: Path) -> Outcome:
    """Do a step."""
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        found = answer(fs, step, Path(place))
    files, folders = content(fs)
    return Outcome(answer=found, files=files, folders=folders)


def compare(
    ours: DeepSeekFileSystem, sequence: list[Step], scratch: Path
) -> Iterator[tuple[Step, Outcome, Outcome, Outcome, Any]]:
    """Each step as ours, memory and a disk do it, from the same start; and that start."""
    for step in sequence:
        before = content(ours)
        with tempfile.TemporaryDirectory(dir=scratch) as root:
            memory, local = twins(ours, Path(root))
            yield (
                step, outcome(ours, step, scratch), outcome(memory, step, scratch),
                outcome(local, step, scratch), before,
            )  # fmt: skip


def empty(fs: AbstractFileSystem) -> None:
    """Take all away."""
    for name in fs.ls("", detail=False):
        fs.rm(name, recursive=True)


def main(count: int) -> None:
    """Print differences, two of each kind of step."""
    seen: dict[str, int] = {}
    done = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        scratch = Path(folder)
        with new_ours(scratch / "home") as ours:
            for seed in range(count):
                empty(ours)
                sequence = steps(random.Random(seed), 12)
                for step, mine, memory, local, before in compare(ours, sequence, scratch):
                    done += 1
                    if not mine.is_as(memory) and not mine.is_as(local, folders_stay=True):
                        seen[step[0]] = seen.get(step[0], 0) + 1
                        if seen[step[0]] <= 3:
                            print(f"{seed}: {step}\n  ours   {mine}\n  memory {memory}")
                            print(f"  local  {local}\n  before {before}")
    print(done, seen)


if __name__ == "__main__":
    main(int(sys.argv[1]))
