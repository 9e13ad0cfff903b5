"""NPZ files of every kind: what numpy may write is read, and what is none is told."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typed_commands import equal, floats

ROWS = floats(5, 4)
FILE = Path("data.npz")
RUN = ("run", "model.onnx", "--input", "data.npz", "--device", "cpu")


@pytest.fixture
def desk(ds):
    ds.model("negative (float[N, 4] x) => (float[N, 4] y) { y = Neg(x) }")
    return ds


def npy(array):
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n"


def archive(*members, **more):
    with zipfile.ZipFile("data.npz", "w", **more) as file:
        for name, content in members:
            file.writestr(name, content)


def changed(change):
    """A good archive with some bytes changed."""
    archive(("x.npy", npy(ROWS)))
    whole = bytearray(FILE.read_bytes())
    change(whole)
    FILE.write_bytes(whole)


def patched(place, value):
    """A good archive with one field of its headers changed, in both places."""

    def change(whole):
        whole[place] = whole[whole.find(b"PK\x01\x02") + place + 2] = value

    changed(change)


def damaged():
    def change(whole):
        whole[whole.find(b"PK\x01\x02") - 1] ^= 0xFF

    changed(change)


GOOD = {
    "plain": lambda: np.savez("data.npz", x=ROWS),
    "compressed": lambda: np.savez_compressed("data.npz", x=ROWS),
    "another compression": lambda: archive(("x.npy", npy(ROWS)), compression=zipfile.ZIP_LZMA),
    "big-endian": lambda: np.savez("data.npz", x=ROWS.astype(">f4")),
    "Fortran order": lambda: np.savez("data.npz", x=np.asfortranarray(ROWS)),
    "no suffix": lambda: archive(("x", npy(ROWS))),
}


@pytest.mark.parametrize("kind", GOOD)
def test_whatever_numpy_reads_is_read(kind, desk):
    GOOD[kind]()
    equal(desk.results(), {"y": -ROWS})


BAD = {
    "no file": (lambda: None, "no such file or folder: data.npz"),
    "empty": (lambda: FILE.write_bytes(b""), "data.npz is not an NPZ file"),
    "an .npy": (lambda: FILE.write_bytes(npy(ROWS)), "data.npz is not an NPZ file"),
    "no array": (lambda: np.savez("data.npz"), "input 'x' is missing; given: nothing"),
    "unnamed": (lambda: np.savez("data.npz", ROWS), "has no input 'arr_0'"),
    "a scalar": (lambda: np.savez("data.npz", x=np.float32(3)), "given float32 []"),
    "a structure": (
        lambda: np.savez("data.npz", x=np.zeros(5, [("a", "f4")])), "given [('a', '<f4')] [5]"
    ),
    "dates": (lambda: np.savez("data.npz", x=np.zeros(5, "M8[D]")), "given datetime64[D] [5]"),
    "strings": (lambda: np.savez("data.npz", x=np.array(["a"])), "given string [1]"),
    "objects": (
        lambda: np.savez("data.npz", x=np.array([{}], object)), "an array holds Python objects"
    ),
    "another member": (lambda: archive(("notes.txt", b"hello")), "has no input 'notes.txt'"),
    "one name twice": (
        lambda: archive(("x", npy(ROWS)), ("x.npy", npy(-ROWS))), "it holds 'x' twice"
    ),
    "a cut array": (
        lambda: archive(("x.npy", npy(ROWS)[:-20])), "expected 80 bytes got 60"
    ),
    "a damaged array": (damaged, "Bad CRC-32"),
    "no header": (lambda: archive(("x.npy", header("{garbage"))), "can't be read as NPZ"),
    "a negative size": (
        lambda: archive(("x.npy", header("{'descr': '<f4', 'fortran_order': False, "
                                         "'shape': (-5, 4), }"))), "can't be read as NPZ"
    ),
    "more than there is memory": (
        lambda: archive(("x.npy", header("{'descr': '<f4', 'fortran_order': False, "
                                         "'shape': (10000000000000, 4), }"))), "allocate"
    ),
    "encrypted": (lambda: patched(6, 1), "encrypted"),
    "an unknown compression": (lambda: patched(8, 99), "compression"),
    "a pipe": (lambda: os.mkfifo("data.npz"), "data.npz is not a regular file"),
    "a link to itself": (lambda: FILE.symlink_to("data.npz"), "data.npz"),
    "a name beyond the limit": (lambda: FILE.symlink_to("n" * 300), "data.npz"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_cant_be_read_or_does_not_fit_is_told(kind, desk):
    make, told = BAD[kind]
    make()
    error, fix = desk.refuses(*RUN)
    assert told in error
    assert "pickle" not in fix


def test_one_picture_is_told_to_be_given_as_a_folder_and_the_remedy_works(ds):
    from PIL import Image

    ds.model("mean (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) { y = Identity(x) }")
    (ds.folder / "my photos").mkdir()
    Image.new("RGB", (4, 4)).save("my photos/a.png")
    error, fix = ds.refuses("run", "model.onnx", "--input", "my photos/a.png")
    assert error == "my photos/a.png is not an NPZ file, or a truncated one"
    assert fix == "pictures are given as a folder: --input 'my photos'"
    assert ds.json("run", "model.onnx", "--input", "my photos")["items"] == 1


@pytest.mark.parametrize("name", ["gone.onnx", "n" * 300 + ".onnx", "pipe.onnx", "folder.onnx"])
def test_a_model_that_is_no_file_is_told(name, desk):
    os.mkfifo("pipe.onnx")
    Path("folder.onnx").mkdir()
    error, fix = desk.refuses("plan", name)
    assert name in error
    assert fix.startswith("check the path")
