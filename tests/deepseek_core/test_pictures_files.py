"""Files that are no pictures, are damaged or lie are one named row; the others are read."""

import os
import sys
import warnings

import numpy as np
import pytest
from picture_files import OWN_SIZE, oriented, random_pixels, read, save, write_png, write_tiff
from PIL import Image

from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.reading import open_pictures
from deepseek_core.contracts.errors import ArtifactError, InputError

GOOD = random_pixels(4, 4, 3)


@pytest.fixture
def row(tmp_path):
    """The error of a file beside one that can be read."""

    def row(name, content=None, wants=OWN_SIZE):
        save(tmp_path, GOOD, "zz.png")
        if content is not None:
            (tmp_path / name).write_bytes(content)
        first, last = read(tmp_path, wants)
        assert last.error is None
        assert first.file.name == name
        assert first.array is None
        return first.error

    return row


def png_bytes(tmp_path, pixels=GOOD):
    path = save(tmp_path / "elsewhere", pixels)
    content = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    return content


def test_an_empty_file_is_a_row(row):
    assert row("a.png", b"") == "is empty"


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n", b"\0" * 100, b"P5"])
def test_a_file_that_is_no_picture_is_a_row(row, content):
    assert row("a.png", content).startswith(("is damaged, or not", "can't be decoded"))


def test_a_truncated_picture_is_a_row(row, tmp_path):
    content = png_bytes(tmp_path, random_pixels(90, 90, 3))
    assert row("a.png", content[:2000]).startswith("can't be decoded: ")


def test_no_other_program_is_started_for_a_file(row):
    assert row("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n").startswith("is dam")


def test_a_targa_is_known_by_its_name_only(row, tmp_path):
    targa = bytes([0, 0, 2, *[0] * 9, 1, 0, 1, 0, 24, 0, 1, 2, 3])
    assert row("a.png", targa).startswith("is damaged")
    (tmp_path / "a.png").replace(tmp_path / "a.tga")
    assert read(tmp_path)[0].array.tolist() == [[[3, 2, 1]]]


def test_a_wrong_suffix_does_not_matter(tmp_path):
    save(tmp_path, GOOD, "a.png").replace(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read(tmp_path)[0].array, GOOD)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
def test_a_pipe_does_not_keep_the_folder_waiting(row, tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert row("a.png") == "is not a regular file"


def test_a_link_to_nowhere_is_a_row(row, tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "missing.png")
    assert row("a.png") == "is a link to a file that does not exist"


def test_a_circle_of_links_is_a_row(row, tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    assert row("a.png").startswith("can't be read: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_row(row, tmp_path):
    save(tmp_path, GOOD, "a.png").chmod(0)
    assert row("a.png") == "can't be read: Permission denied"


def test_links_to_pictures_are_followed(tmp_path):
    save(tmp_path / "real", GOOD)
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "b.png").symlink_to(tmp_path / "real" / "a.png")
    assert read(folder)[0].error is None


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (10_000, 10_000)])
def test_a_decompression_bomb_is_refused_by_name(row, tmp_path, width, height):
    write_png(tmp_path / "a.png", (width, height), (1, 0), [b"\0" * ((width + 7) // 8)] * height)
    assert (tmp_path / "a.png").stat().st_size < 200_000
    assert "decompression bomb" in row("a.png")


def test_the_limit_holds_where_pillow_has_none(row, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    write_png(tmp_path / "a.png", (30_000, 30_000), (1, 0), [])
    assert "decompression bomb" in row("a.png")


def test_tiles_larger_than_their_picture_are_a_bomb_too(row, tmp_path):
    write_tiff(tmp_path / "a.tif", GOOD[..., 0], t322=1 << 24, t323=1 << 10)
    assert "decompression bomb" in row("a.tif")


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError, RecursionError, SyntaxError])
def test_whatever_a_decoder_raises_is_a_row(row, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    save(tmp_path, GOOD, "a.png", exif=oriented(3))
    monkeypatch.setattr(Image.Image, "transpose", fail)
    assert row("a.png").endswith((error.__name__, "needs more memory than there is"))


def test_folders_and_other_files_are_counted_and_hidden_ones_ignored(tmp_path):
    save(tmp_path, GOOD, "B.PNG", format="png")
    save(tmp_path, GOOD, "a10.png")
    save(tmp_path, GOOD, "a2.png")
    save(tmp_path, GOOD, ".hidden.png")
    save(tmp_path / "more.png", GOOD)
    for name in ("notes.txt", "photo.heic", "Makefile", "x.csv"):
        (tmp_path / name).write_text("")
    pictures = open_pictures(tmp_path, OWN_SIZE, PictureOptions())
    assert [file.name for file in pictures.files] == ["B.PNG", "a10.png", "a2.png"]
    assert pictures.lines[-1] == (
        "left out: 1 folder (not searched), 4 other files (no suffix, .csv, .heic, ...)"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="does not allow such names")
@pytest.mark.parametrize("name", ["a\nb.png", "a\x1b[31m.png", "a\udcff.png"])
def test_names_are_printed_escaped(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    save(tmp_path, GOOD, "zz.png")
    pictures = open_pictures(tmp_path, OWN_SIZE, PictureOptions())
    first = next(iter(pictures))
    assert first.file.name == name
    assert first.name == repr(name)
    assert all(line.isprintable() for line in pictures.lines)


def test_a_folder_without_pictures_says_which_files_count(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ArtifactError, match=r"has no pictures; it has 1 other file \(.txt\)") as it:
        read(tmp_path)
    assert ".jpg, " in it.value.remedy
    assert ".eps" not in it.value.remedy


def test_a_folder_that_is_none_says_so(tmp_path):
    with pytest.raises(ArtifactError, match="can't be read as a folder: No such file"):
        read(tmp_path / "missing")
    with pytest.raises(ArtifactError, match="can't be read as a folder: Not a dir"):
        read(save(tmp_path, GOOD))


def test_a_folder_of_which_nothing_can_be_read_is_an_error(tmp_path):
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(b"")
    with pytest.raises(ArtifactError) as caught:
        read(tmp_path)
    assert caught.value.message == (
        f"{tmp_path}: none of 4 pictures can be used: "
        "a.png is empty; b.png is empty; c.png is empty; ..."
    )


def test_a_folder_whose_pictures_all_fail_later_is_an_error_at_its_end(tmp_path):
    save(tmp_path, np.full((2, 2), 3, np.float32), "a.tif")
    pictures = iter(open_pictures(tmp_path, OWN_SIZE, PictureOptions()))
    assert next(pictures).error.startswith("has values")
    with pytest.raises(ArtifactError, match=r"none of 1 picture can be used: a\.tif has values"):
        next(pictures)


def test_pillow_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError) as caught:
        open_pictures(tmp_path, OWN_SIZE, PictureOptions())
    assert caught.value.remedy == "pip install pillow"


def test_warnings_of_decoders_are_not_printed(tmp_path):
    image = Image.new("P", (2, 2))
    save(tmp_path, image, transparency=b"\0\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path)[0].error is None


def test_pictures_are_decoded_one_by_one_and_again(tmp_path):
    save(tmp_path, GOOD, "a.png")
    save(tmp_path, GOOD, "b.png")
    pictures = open_pictures(tmp_path, OWN_SIZE, PictureOptions())
    first = next(iter(pictures))
    (tmp_path / "b.png").unlink()
    again = list(pictures)
    np.testing.assert_array_equal(again[0].array, first.array)
    assert again[1].error == "can't be read: No such file or directory"
