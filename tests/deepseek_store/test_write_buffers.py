"""Whatever has bytes is stored with all of them; whatever has none is refused, with the remedy."""

import array
import ctypes
import mmap
import os
import threading
from pathlib import Path

import attrs
import numpy as np
import pytest
import xxhash

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import Corrupt, NotBytes
from deepseek_store.log.records import Extent
from deepseek_store.write.buffers import bytes_of, steady
from deepseek_store.write.receipt import pieces_of

SMALL = Policy(warm_fragment_nbytes=256 << 10, sizing=64 << 10)
PICTURE = np.arange(60_000, dtype=np.float32).reshape(200, 300)
TYPED = {
    "int64": np.arange(5),
    "picture": PICTURE,
    "view of every other": PICTURE[::2, ::-3],
    "Fortran order": np.asfortranarray(PICTURE),
    "transposed": PICTURE.T,
    "bool": np.arange(9) % 2 == 0,
    "half": np.arange(7, dtype=np.float16),
    "complex": np.arange(7) * 1j,
    "big endian": np.arange(7, dtype=">i4"),
    "no dimensions": np.array(5.0),
    "a number of numpy": np.int32(77),
    "no items": np.zeros((0, 4)),
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "structured": np.array([(1, 2.5), (3, 4.5)], dtype=[("Office", "i2"), ("y", "f8")]),
    "strided field": np.zeros(4, dtype=[("x", "i1"), ("y", "f8")])["y"],
    "fixed text": np.array(["a", "bcd"]),
    "read-only": np.frombuffer(os.urandom(64), dtype="i4"),
    "array": array.array("d", [1, 2, 3]),
    "wide characters": array.array("u", "häuser"),
    "memoryview of shorts": memoryview(bytes(range(32))).cast("h"),
    "memoryview in 2-D": memoryview(bytes(range(32))).cast("B", (4, 8)),
    "signed": memoryview(bytes(range(32))).cast("b"),
    "backwards": memoryview(bytes(range(32)))[::-1],
    "ctypes": (ctypes.c_int * 4)(1, 2, 3, 4),
    "bytearray": bytearray(range(200)),
}


@pytest.fixture
def store(tmp_path):
    with Store.init(tmp_path / "store", policy=SMALL) as store:
        yield store


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("way", ["put", "stream", "upload", "mapping", "not durable"])
def test_all_bytes_of_a_typed_buffer_are_stored(store, kind, way):
    data = TYPED[kind]
    want = memoryview(data).tobytes()
    if way == "put":
        receipt = store.put("a", data)
    elif way == "stream":
        receipt = store.put_stream("a", [data])
    elif way == "not durable":
        receipt = store.put("a", data, durable=False)
    elif way == "upload":
        with store.begin("a") as upload:
            upload.write(data)
            assert upload.nbytes == len(want)
            receipt = upload.commit()
    else:
        store["a"] = data
        receipt = None
    assert store.stat("a").nbytes == len(want)
    assert bytes(store.get("a")) == want
    assert receipt is None or (receipt.nbytes == len(want) and receipt.matches(data))


def test_numpys_own_bytes_are_the_same(store):
    for key, data in TYPED.items():
        if isinstance(data, np.ndarray):
            store.put(key, data)
            assert store[key] == data.tobytes(), key


def test_typed_buffers_survive_a_new_start(store):
    for key, data in TYPED.items():
        store.put(key, data)
    store.close()
    with Store(store.home) as again:
        for key, data in TYPED.items():
            assert again[key] == memoryview(data).tobytes(), key


def test_a_mapped_file_is_stored(store, tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    with (
        (tmp_path / "file").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert store.put("a", mapped).matches(content)
    assert store["a"] == content


def test_tensors_on_the_cpu_are_stored(store):
    torch = pytest.importorskip("torch")
    whole = torch.arange(12.0).reshape(3, 4)
    for tensor in (whole, whole.T, whole.requires_grad_(), torch.tensor(7), torch.zeros(0)):
        store.put("a", tensor)
        assert store["a"] == tensor.detach().numpy().tobytes()
    store.put("a", torch.arange(5).to(torch.bfloat16))
    assert len(store["a"]) == 10
    for tensor in (torch.zeros(2, device="meta"), torch.eye(2).to_sparse()):
        with pytest.raises(NotBytes):
            store.put("b", tensor)
    assert list(store) == ["a"]


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        ("text", "encode"),
        (5, "put_stream"),
        (True, "put_stream"),
        (2.5, "pickle"),
        (None, "b''"),
        ([1, 2], "pickle"),
        ([b"a"], "pickle"),
        ({"a": 1}, "json"),
        (Path("/etc/passwd"), "open"),
        pytest.param(iter([b"a"]), "put_stream", id="an iterator"),
        (np.array(["a", 1], dtype=object), "pickle"),
        (np.zeros(2, dtype=[("x", object), ("y", "i4")]), "pickle"),
        (np.array(["2026-01-01"], dtype="M8[D]"), "tobytes"),
    ],
    ids=repr,
)
def test_what_has_no_bytes_is_refused_and_the_remedy_said(store, data, remedy):
    def upload():
        with store.begin("a") as upload:
            upload.write(data)

    for way in (
        lambda: store.put("a", data),
        lambda: store.put_stream("a", [b"good", data]),
        lambda: store.objects.__setitem__("a", data),
        lambda: store.objects.setdefault("a", data),
        upload,
    ):
        with pytest.raises(NotBytes) as caught:
            way()
        assert remedy in caught.value.remedy
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, errors.InputError)
    assert len(store) == 0


def test_a_stream_of_text_or_of_one_bytes_object_is_refused(store):
    for chunks in ("text", b"bytes", bytearray(b"bytes"), ["text"]):
        with pytest.raises(NotBytes):
            store.put_stream("a", chunks)
    assert not store.exists("a")


@pytest.mark.parametrize("nbytes", [1_000, 60_000, 300_000])
def test_a_buffer_that_changes_while_it_is_stored_is_stored_as_it_was_at_some_moment(store, nbytes):
    data, stop = bytearray(nbytes), threading.Event()

    def scribble():
        number = 0
        while not stop.is_set():
            number = (number + 1) % 256
            data[:] = bytes([number]) * nbytes

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for number in range(12):
            store.put(f"a/{number}", data, durable=number % 2 == 0)
            store.put_stream(f"b/{number}", [data, data])
    finally:
        stop.set()
        thread.join()
    for key in store:
        assert len(store.get(key)) == nbytes * (2 if key[0] == "b" else 1)  # none is Corrupt
    assert store.maintenance.fsck(deep=True).ok


def test_a_buffer_is_free_again_once_it_is_stored(store):
    data = bytearray(os.urandom(200_000))
    want = bytes(data)
    with store.begin("b") as upload:
        store.put("a", data, durable=False)
        upload.write(data)
        data.extend(b"more")  # with a view that is still there this raises BufferError
        data[:10] = bytes(10)
        upload.commit()
    assert store["a"] == store["b"] == want


def test_bytes_are_not_copied():
    data = os.urandom(100)
    assert bytes_of(data) is data and steady(data) is data
    view = memoryview(data)[10:20]
    assert steady(view) is view
    assert steady(memoryview(bytearray(data))) == data
    assert np.shares_memory(np.asarray(bytes_of(PICTURE)), PICTURE)


# Receipts


def test_a_receipt_has_the_hashes_of_what_was_written(store):
    content = os.urandom(200_000)
    receipt = store.put("a", content)
    assert [piece.nbytes for piece in receipt.pieces] == [65_536] * 3 + [200_000 - 3 * 65_536]
    assert receipt.pieces[1].xxh3 == xxhash.xxh3_64_intdigest(content[65_536 : 2 * 65_536])
    assert receipt.shards == 4
    assert attrs.asdict(receipt)["pieces"][0]["nbytes"] == 65_536
    assert receipt.facts() == {"key": "a", "generation": 1, "nbytes": 200_000, "shards": 4} | {
        "generation": receipt.generation
    }
    changed = bytearray(content)
    changed[150_000] ^= 1
    assert receipt.matches(content)
    assert not receipt.matches(changed)
    assert not receipt.matches(content[:-1])
    assert store.copy("a", "b").matches(content)
    assert store.rename("b", "c").matches(content)
    assert store.put("e", b"").matches(b"") and not store.put("e", b"").matches(b"1")


def test_bytes_of_another_number_than_were_written_are_never_acknowledged():
    extents = [Extent(1, 0, 10, 7), Extent(1, 10, 10, 8)]
    assert [piece.xxh3 for piece in pieces_of("a", extents, 20)] == [7, 8]
    with pytest.raises(Corrupt):
        pieces_of("a", extents, 21)
