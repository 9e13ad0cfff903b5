"""Folders of pictures as people have them: what is run is what ONNX Runtime gives for each."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed_commands import equal, save

MEAN = """
    mean (float[N, 3, 8, 8] x) => (float[N, 3] y) <int64[2] sides = {2, 3}> {
        y = ReduceMean<keepdims = 0>(x, sides)
    }
"""
ONE_BY_ONE = {
    "CHW": "float[3, H, W]", "HWC": "float[H, W, 3]", "HW": "float[H, W]",
    "1CHW": "float[1, 3, H, W]",
}  # fmt: skip
AWKWARD = ["a b.png", "-dash.png", "per%cent.png", "日本.png", "😀.png", "quote'\".png", "UP.PNG"]


def pixels(seed, height=8, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photos(*sizes, folder="photos"):
    """Pictures 0.png, 1.png, ... of these sizes, and their pixels."""
    Path(folder).mkdir()
    made = [pixels(number, *size) for number, size in enumerate(sizes)]
    for number, array in enumerate(made):
        Image.fromarray(array).save(Path(folder) / f"{number}.png")
    return made


def scaled(arrays):
    """[N, 3, H, W] in 0..1, as a batch of pictures is given to a model."""
    return (np.stack(arrays).transpose(0, 3, 1, 2) / np.float32(255)).astype(np.float32)


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, strict=True)


def test_every_picture_counts_and_its_name_stands_beside_its_result(ds):
    ds.model(MEAN)
    made = photos(*[(8, 8)] * 5)
    found = ds.results("--batch", "2", data=("photos",))
    near(found["y"], ds.reference({"x": scaled(made)})["y"])
    assert found["files"].tolist() == ds.report["files"] == [f"{n}.png" for n in range(5)]
    assert (ds.report["items"], ds.report["batches"], ds.report["failed"]) == (5, 3, {})
    text = ds.says("run", "model.onnx", "--input", "photos", "--device", "cpu")
    assert text.startswith("5 pictures in ") and " pictures/s in 1 batch\n" in text


def test_awkward_names_are_read_and_told_so_that_no_terminal_is_disturbed(ds):
    ds.model(MEAN)
    Path("photos").mkdir()
    for name in [*AWKWARD, "new\nline.png", ".hidden.png"]:
        Image.fromarray(pixels(len(name))).save(Path("photos") / name)
    found = ds.results(data=("photos",))
    told = {*AWKWARD, "'new\\nline.png'"}
    assert set(found["files"].tolist()) == set(ds.report["files"]) == told
    assert len(found["y"]) == len(told)


def bomb():
    """A PNG whose header promises 3.6 billion pixels."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_what_is_no_picture_is_one_line_with_its_reason_and_the_others_run(ds):
    ds.model(MEAN)
    (good,) = photos((8, 8))
    folder = Path("photos")
    whole = (folder / "0.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.txt").write_text("left out")
    (folder / "below.png").mkdir()
    (folder / "itself").symlink_to(".")
    found = ds.results(data=("photos",))
    near(found["y"], ds.reference({"x": scaled([good])})["y"])
    assert found["files"].tolist() == ["0.png"]
    reasons = {name: why.partition(": ")[0] for name, why in ds.report["failed"].items()}
    assert reasons == {
        "torn.png": "can't be decoded",
        "text.png": "is damaged, or not in a format that is read",
        "empty.jpg": "is empty",
        "bomb.png": "has more than 89,478,485 pixels and is refused as a decompression bomb",
        "gone.png": "is a link to a file that does not exist",
        "loop.png": "can't be read",
        "pipe.png": "is not a regular file",
    }
    text = ds.says("run", "model.onnx", "--input", "photos", "--device", "cpu")
    assert text.count("\n  not run: ") == len(reasons)
    assert text.count("text.png") == 1
    assert "  input: left out: 2 folders (not searched), 1 other file (.txt)\n" in text


@pytest.mark.parametrize("count", [4, 5, 9])
def test_a_model_of_four_pictures_gets_four_and_tells_of_those_left_over(count, ds):
    ds.model(MEAN.replace("N", "4"))
    made = photos(*[(8, 8)] * count)
    found = ds.results(data=("photos",))
    full = count // 4 * 4
    calls = [ds.reference({"x": scaled(made[n : n + 4])})["y"] for n in range(0, full, 4)]
    near(found["y"], calls[0] if len(calls) == 1 else np.stack(calls))
    assert found["files"].tolist() == [f"{n}.png" for n in range(full)]
    left = {
        f"{n}.png": "left over: the model takes 4 pictures at a time" for n in range(full, count)
    }
    assert (ds.report["items"], ds.report["failed"]) == (full, left)


def test_too_few_pictures_for_one_call_are_an_error_that_says_how_many_are_missing(ds):
    ds.model(MEAN.replace("N", "4"))
    photos(*[(8, 8)] * 3)
    error, fix = ds.refuses("run", "model.onnx", "--input", "photos", "--device", "cpu")
    assert error == "the model takes 4 pictures at a time, and the folder has 3"
    assert fix.startswith("add 1, or ")


@pytest.mark.parametrize("axes", ONE_BY_ONE)
def test_a_model_of_one_picture_takes_each_in_its_own_size(axes, ds):
    kind = ONE_BY_ONE[axes]
    ds.model(f"own ({kind} x) => ({kind} y) {{ y = Identity(x) }}")
    made = photos((8, 8), (6, 10))
    found = ds.results(data=("photos",))
    for number, array in enumerate(made):
        value = (array / np.float32(255)).astype(np.float32)
        if axes == "HW":
            gray = Image.fromarray(array).convert("L")
            value = (np.asarray(gray) / np.float32(255)).astype(np.float32)
        expected = {
            "CHW": value.transpose(2, 0, 1) if axes != "HW" else None, "HWC": value, "HW": value,
            "1CHW": value.transpose(2, 0, 1)[None] if axes != "HW" else None,
        }[axes]  # fmt: skip
        near(found[f"y.{number}"], expected)
    assert ds.report["batches"] == 2


def test_pictures_of_different_sizes_in_one_batch_are_an_error_whose_remedies_work(ds):
    ds.model("own (float[N, 3, H, W] x) => (float[N, 3, H, W] y) { y = Identity(x) }")
    photos((8, 8), (6, 10))
    words = ("run", "model.onnx", "--input", "photos")
    error, fix = ds.refuses(*words)
    assert error == "pictures in one batch need one size, these would have 8x8 (1), 6x10 (1)"
    assert fix == "add --size HxW (height x width), or --batch 1"
    assert ds.json(*words, "--size", "8x8")["outputs"]["y"]["shape"] == [2, 3, 8, 8]
    assert set(ds.json(*words, "--batch", "1")["outputs"]) == {"y.0", "y.1"}


WITH_MORE = """
    more (float[N, 3, 8, 8] x, float[N, 3] m) => (float[N, 3] y) <int64[2] sides = {2, 3}> {
        mean = ReduceMean<keepdims = 0>(x, sides)
        y = Add(mean, m)
    }
"""


def test_an_array_beside_pictures_holds_for_each_of_them(ds):
    ds.model(WITH_MORE)
    made = photos((8, 8), (8, 8))
    words = ("run", "model.onnx", "--input", "photos")
    assert "without an array are: x: float32 [N, 3, 8, 8]; m: " in ds.refuses(*words)[0]
    save("m.npz", {"m": np.ones((1, 3), np.float32)})
    expected = scaled(made).mean((2, 3)) + 1
    near(ds.results(data=("photos", "m.npz"))["y"], expected)
    near(ds.results("--constant", "m", data=("photos", "m.npz"))["y"], expected)


def test_items_of_an_array_are_never_paired_with_pictures_by_chance(ds):
    ds.model(WITH_MORE)
    photos((8, 8), (8, 8))
    save("m.npz", {"m": np.ones((2, 3), np.float32)})
    error, fix = ds.refuses("run", "model.onnx", "--input", "photos", "--input", "m.npz")
    assert error == (
        "input m: float32 [N, 3] has 2 items, which can't be paired with the pictures of a folder"
    )
    assert fix.startswith("give one item for all of them")


def test_two_folders_or_none_with_a_picture_are_told(ds):
    ds.model(MEAN)
    photos((8, 8))
    Path("none").mkdir()
    words = ("run", "model.onnx", "--input", "photos")
    assert ds.refuses(*words, "--input", "photos") == (
        "--input names 2 folders", "put the pictures into one"
    )  # fmt: skip
    error, fix = ds.refuses("run", "model.onnx", "--input", "none")
    assert error == "none has no pictures"
    assert fix.startswith("pictures are files that end in ")


def test_a_photo_taken_upright_a_deep_one_and_a_frame_are_what_a_viewer_shows(ds):
    """EXIF orientation, 16 bits of gray, CMYK, an animation: each as Pillow itself has it."""
    ds.model("own (uint8[N, 8, 8, 3] x) => (uint8[N, 8, 8, 3] y) { y = Identity(x) }")
    Path("photos").mkdir()
    folder = Path("photos")
    upright = Image.Exif()
    upright[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pixels(1)).save(folder / "a.png", exif=upright)
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(folder / "b.png")
    frames = [Image.fromarray(pixels(n)[..., 0]) for n in (2, 3)]
    frames[0].save(folder / "c.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(pixels(4)).convert("CMYK").save(folder / "d.tif")
    found = ds.results(data=("photos",))["y"]
    np.testing.assert_array_equal(found[0], np.rot90(pixels(1), -1))
    np.testing.assert_array_equal(found[1], np.rint(deep[..., None] / 257).repeat(3, -1))
    np.testing.assert_array_equal(found[2], pixels(2)[..., :1].repeat(3, -1))
    np.testing.assert_array_equal(found[3], pixels(4))
    lines = " ".join(ds.report["pictures"]["lines"])
    assert "1 with several frames: the first is read" in lines
    assert "1 with more than 8 bits of gray" in lines


@pytest.mark.parametrize("command", ["plan", "explain", "calibrate", "bench"])
def test_every_command_takes_the_folder_too(command, ds):
    ds.model(MEAN)
    photos(*[(8, 8)] * 3)
    quick = {"calibrate": ["--rounds", "1"], "bench": ["--rounds", "1", "--batches", "2"]}
    report = ds.json(command, "model.onnx", "--input", "photos", *quick.get(command, []))
    plan = report.get("plan", report)
    batch = report["measurements"][0]["batch"] if command == "calibrate" else plan["batch"]
    assert batch == 3


def test_equal_is_exact_where_nothing_is_computed(ds):
    ds.model("own (uint8[N, 8, 8, 3] x) => (uint8[N, 8, 8, 3] y) { y = Identity(x) }")
    made = photos(*[(8, 8)] * 3)
    equal(
        ds.results(data=("photos",)),
        {"y": np.stack(made), "files": np.array(["0.png", "1.png", "2.png"])},
    )
