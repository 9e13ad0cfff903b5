"""Writes pictures into a folder and reads them as a model's input."""

import struct
import zlib

import numpy as np
from PIL import Image

from deepseek_core.cli.pictures.layout import PictureInput
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.reading import open_pictures

ORIENTATION = 0x0112


def wanted(*shape, dtype="uint8", batch_axis=0, name="x"):
    return PictureInput(name=name, dtype=dtype, shape=shape, batch_axis=batch_axis)


OWN_SIZE = wanted(1, "H", "W", 3, batch_axis=None)
OWN_GRAY = wanted(1, "H", "W", 1, batch_axis=None)
OWN_RGBA = wanted(1, "H", "W", 4, batch_axis=None)


def read(folder, wants=OWN_SIZE, **options):
    """Each picture of the folder."""
    return list(open_pictures(folder, wants, PictureOptions(**options)))


def read_one(folder, wants=OWN_SIZE, **options):
    """The array of the only picture."""
    (picture,) = read(folder, wants, **options)
    assert picture.error is None, picture.error
    return picture.array


def save(folder, pixels, name="a.png", **options):
    """Write an array, or a Pillow image, as a picture."""
    folder.mkdir(exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    image.save(folder / name, **options)
    return folder / name


def oriented(number):
    """EXIF data that says how the picture is turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif


def random_pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def write_png(path, size, kind, rows, *, before=b"", after=b""):
    """A PNG as no library would write it: `kind` is (bit depth, color type), `rows` are bytes."""
    width, height = size
    header = struct.pack(">IIBBBBB", width, height, *kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), before, chunk(b"IDAT", data), after, chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write_tiff(path, pixels, **tags):
    """An uncompressed TIFF with one strip; `tags` are `t258=...`, shorts or longs."""
    height, width = pixels.shape[:2]
    bits = pixels.dtype.itemsize * 8
    default = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: height}
    fields = default | {int(name[1:]): value for name, value in tags.items()}
    fields[279] = pixels.nbytes
    fields[273] = 8 + 2 + 12 * (len(fields) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + pixels.tobytes())
