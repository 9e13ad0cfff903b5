"""Options of pictures: written as users write them, refused where they contradict, and stated."""

import argparse
import json

import attrs
import numpy as np
import pytest
from picture_files import OWN_SIZE, random_pixels, save, wanted
from PIL import Image

from deepseek_core.cli.parser import CommandParser
from deepseek_core.cli.pictures.arguments import add_picture_arguments, picture_flags
from deepseek_core.cli.pictures.option_values import (
    NORMALIZATIONS,
    Normalization,
    Range,
    parse_color,
    parse_fraction,
    parse_normalization,
    parse_range,
    parse_size,
)
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.reading import open_pictures
from deepseek_core.contracts.errors import ConfigError


def parsed(*words):
    parser = CommandParser(prog="ds-sdk run")
    add_picture_arguments(parser)
    return parser.parse_args(words)


def options(*words):
    return PictureOptions.from_args(parsed(*words))


def test_nothing_given_is_the_default():
    assert options() == PictureOptions()
    assert picture_flags(parsed()) == ()
    assert picture_flags(argparse.Namespace()) == ()


def test_what_is_given_is_known():
    words = ["--resize", "pad", "--no-antialias", "--range", "0..1"]
    assert picture_flags(parsed(*words)) == ("--resize", "--no-antialias", "--range")


def test_every_option_is_read():
    words = (
        "--resize pad --size 48x320 --pad-color 114,114,114 --interpolation bicubic "
        "--no-antialias --range 0..255 --normalize 127.5/127.5 --source-range 0..4095 "
        "--background #000080 --channel-order bgr --layout nchw"
    )
    assert options(*words.split()) == PictureOptions(
        resize="pad",
        size=(48, 320),
        pad_color=(114, 114, 114),
        interpolation="bicubic",
        antialias=False,
        range=Range(0, 255),
        normalize=Normalization((127.5,), (127.5,)),
        source_range=Range(0, 4095),
        background=(0, 0, 128),
        channel_order="bgr",
        layout="NCHW",
    )
    crop = options("--resize", "crop", "--crop-fraction", "0.875", "--size-multiple", "32")
    assert crop == PictureOptions(resize="crop", crop_fraction=0.875, size_multiple=32)


@pytest.mark.parametrize("text", ["-1..1", "-128..127", "-.5..5e-1"])
def test_a_range_may_begin_with_a_minus(text):
    low, high = text.split("..", 1) if text[1] != "." else ("-.5", ".5")
    assert options("--range", text).range == Range(float(low), float(high))


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_range, "0..1", Range(0, 1)),
        (parse_range, "1e-3..2.5", Range(0.001, 2.5)),
        (parse_size, "480X640", (480, 640)),
        (parse_color, "White", (255, 255, 255)),
        (parse_color, "#0a0B0c", (10, 11, 12)),
        (parse_fraction, "1", 1),
        (parse_normalization, "ImageNet", NORMALIZATIONS["imagenet"]),
        (parse_normalization, "0.5/0.25", Normalization((0.5,), (0.25,))),
        (parse_normalization, "1,2,3/4", Normalization((1, 2, 3), (4, 4, 4))),
        (parse_normalization, "1/2,3,4", Normalization((1, 1, 1), (2, 3, 4))),
    ],
)
def test_values_are_read_as_they_are_written(parse, text, value):
    assert parse("--flag", text) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (parse_range, ["", "0", "1..0", "0..0", "0..inf", "nan..1", "0..1..2", "0-1", "a..b"]),
        (
            parse_size,
            ["", "224", "0x5", "-1x5", "5x", "1e3x5", "99999x99999", "5x5x3", "٣x٣"],
        ),
        (parse_color, ["", "redd", "#fff", "#gggggg", "1,2", "1,2,256", "1,2,3,4", "-1,0,0"]),
        (parse_fraction, ["", "0", "1.1", "-1", "nan", "half"]),
        (
            parse_normalization,
            ["", "caffe", "0.5", "0.5/0", "1/2/3", "1,2/1,2,3", "/", "0/-1"],
        ),
    ],
)
def test_values_that_are_none_are_refused_with_an_example(parse, texts):
    for text in texts:
        with pytest.raises(ConfigError, match=r"--flag needs .*, got") as caught:
            parse("--flag", text)
        assert caught.value.remedy.startswith("for example --flag ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--size 5x5 --size-multiple 32", "--size and --size-multiple"),
        ("--crop-fraction 0.875", "--crop-fraction does nothing with --resize stretch"),
        ("--pad-color white --resize crop", "--pad-color does nothing with --resize crop"),
        ("--no-antialias --interpolation box", "--no-antialias does not go with"),
        ("--normalize imagenet --range 0..255", "imagenet is for pixels in 0..1"),
        ("--size 0x0", "--size needs"),
        ("--size-multiple 0", "--size-multiple needs"),
        ("--resize squeeze", "invalid choice"),
    ],
)
def test_options_that_contradict_are_refused(words, text):
    with pytest.raises(ConfigError, match=text):
        options(*words.split())


@pytest.mark.parametrize("name", ["resize", "interpolation", "channel_order", "layout"])
def test_unknown_names_are_refused_at_birth(name):
    with pytest.raises(ConfigError, match="has no 'other'"):
        PictureOptions(**{name: "other"})


def test_help_states_every_default():
    parser = CommandParser(prog="ds-sdk run")
    add_picture_arguments(parser)
    text = " ".join(parser.format_help().split())
    assert "pictures (--input FOLDER)" in text
    assert text.count("(default:") == len(attrs.fields(PictureOptions))
    assert "with --resize pad, the canvas" in text


def said(folder, wants, **options):
    return open_pictures(folder, wants, PictureOptions(**options)).lines


def test_what_is_done_is_said_in_a_sentence(tmp_path):
    save(tmp_path, random_pixels(48, 64, 3), "a.png")
    save(tmp_path, random_pixels(48, 64, 3), "b.png")
    assert said(tmp_path, wanted("n", 3, 24, 24, dtype="float32")) == (
        "2 pictures, 48x64 (height x width) -> 24x24 (stretched, bilinear); RGB, scaled to 0..1, "
        "no mean/std (--normalize imagenet)",
    )
    assert said(
        tmp_path,
        wanted("n", 24, 24, 3, dtype="float32"),
        resize="pad",
        antialias=False,
        channel_order="bgr",
        normalize=NORMALIZATIONS["imagenet"],
    ) == (
        "2 pictures, 48x64 (height x width) -> 24x24 (padded on all sides, bilinear without "
        "antialiasing); BGR, scaled to 0..1, then mean/std of imagenet",
    )
    assert said(tmp_path, wanted("n", 48, 64, 1)) == (
        "2 pictures, 48x64 (height x width), not resized; gray, pixel values 0..255, no mean/std",
    )
    (line,) = said(tmp_path, wanted("n", 3, 48, 64, dtype="int8"), range=Range(-128, 127))
    assert "scaled to -128..127 and rounded" in line


def test_what_only_some_pictures_have_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    save(tmp_path, Image.new("RGBA", (3, 3)), "b.png")
    save(tmp_path, np.zeros((4, 4), np.uint16), "c.png")
    frames = [Image.new("L", (3, 3), color) for color in (1, 2)]
    save(tmp_path, frames[0], "d.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "e.ppm").write_bytes(b"P6 1 1 65535 " + bytes(6))
    assert said(tmp_path, OWN_SIZE)[1:] == (
        "1 with several frames: the first is read",
        "1 with 16 bits a color: Pillow reads the upper 8",
        "1 with more than 8 bits of gray: scaled from the range of their type",
        "1 with transparency: shown over #ffffff",
    )


def test_facts_are_json(tmp_path):
    save(tmp_path, random_pixels(48, 64, 3))
    wants = wanted("n", 3, 24, 24, dtype="float32")
    pictures = open_pictures(tmp_path, wants, PictureOptions(range=Range(-1, 1)))
    facts = json.loads(json.dumps(pictures.facts))
    assert facts == pictures.facts
    assert (facts["sizes"], facts["resized_to"]) == ({"48x64": 1}, {"24x24": 1})
    assert (facts["range"], facts["layout"], facts["dtype"]) == ([-1, 1], "NCHW", "float32")
