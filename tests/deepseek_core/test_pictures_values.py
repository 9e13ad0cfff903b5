"""What pixel values become: range, mean and deviation, dtype."""

import numpy as np
import pytest
from picture_files import random_pixels, read_one, save, wanted

from deepseek_core.cli.pictures.option_values import (
    NORMALIZATIONS,
    Range,
    parse_normalization,
    parse_range,
)
from deepseek_core.contracts.errors import ConfigError, TensorMismatch

PIXELS = random_pixels(8, 8, 3)


@pytest.fixture
def value(tmp_path):
    """Reads the same picture as an input of some dtype, [H, W, C]."""
    save(tmp_path, PIXELS)

    def value(dtype, channels=3, **options):
        return read_one(tmp_path, wanted("n", 8, 8, channels, dtype=dtype), **options)

    return value


def test_bytes_stay_as_they_are(value):
    np.testing.assert_array_equal(value("uint8"), PIXELS)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_scaled_to_0_to_1(value, dtype):
    expected = (PIXELS / 255).astype(dtype)
    np.testing.assert_allclose(value(dtype), expected, rtol=2 * np.finfo(dtype).eps)
    assert value(dtype).dtype == dtype


def test_float32_equals_a_division_by_255(value):
    np.testing.assert_array_equal(value("float32"), PIXELS.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0..255", PIXELS.astype(float)),
        ("-1..1", PIXELS / 127.5 - 1),
        ("-128..127", PIXELS - 128.0),
        ("0.5..0.75", PIXELS / 1020 + 0.5),
    ],
)
def test_a_range_scales_black_and_full_intensity(value, text, expected):
    scaled = value("float32", range=parse_range("--range", text))
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integers_other_than_bytes_are_refused_unless_told_how(value, dtype):
    with pytest.raises(TensorMismatch, match=f"{dtype} .* is not known") as caught:
        value(dtype)
    assert "--range" in caught.value.remedy


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_pixel_values_are_kept_where_they_fit(value, dtype):
    kept = value(dtype, range=Range(0, 255))
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, PIXELS)


def test_integers_are_rounded_to_the_nearest(value):
    np.testing.assert_array_equal(value("int8", range=Range(-128, 127)), PIXELS - 128.0)
    np.testing.assert_array_equal(value("int32", range=Range(0, 100)), np.rint(PIXELS / 2.55))
    np.testing.assert_array_equal(value("uint16", range=Range(0, 65535)), PIXELS.astype(int) * 257)
    np.testing.assert_array_equal(
        value("int64", range=Range(0, 255 * 2**40)), PIXELS.astype(int) * 2**40
    )


@pytest.mark.parametrize(
    ("dtype", "span"),
    [("int8", (0, 255)), ("uint8", (-1, 1)), ("float16", (0, 1e5)), ("int64", (0, 2.0**60))],
)
def test_a_range_has_to_fit_the_dtype(value, dtype, span):
    with pytest.raises(TensorMismatch, match=r"--range .* does not fit"):
        value(dtype, range=Range(*span))


@pytest.mark.parametrize("dtype", ["bool", "string", "bfloat16", "complex64", "int4"])
def test_other_dtypes_take_no_pictures(value, dtype):
    with pytest.raises(TensorMismatch, match="not converted to"):
        value(dtype)


def test_a_known_normalization_follows_the_colors(value):
    mean, std = (np.array(numbers) for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = (PIXELS / 255 - mean) / std
    imagenet = NORMALIZATIONS["imagenet"]
    np.testing.assert_allclose(value("float32", normalize=imagenet), expected, atol=1e-6)
    turned = value("float32", normalize=imagenet, channel_order="bgr")
    np.testing.assert_allclose(turned, expected[..., ::-1], atol=1e-6)


def test_numbers_follow_the_channels_of_the_model(value):
    normalize = parse_normalization("--normalize", "103.53,116.28,123.675/1,2,4")
    blue_first = value("float32", normalize=normalize, range=Range(0, 255), channel_order="bgr")
    expected = (PIXELS[..., ::-1] - np.array([103.53, 116.28, 123.675])) / np.array([1, 2, 4])
    np.testing.assert_allclose(blue_first, expected, atol=1e-4)


def test_one_number_normalizes_all_channels(value):
    halves = parse_normalization("--normalize", "0.5/0.5")
    np.testing.assert_allclose(value("float32", normalize=halves), PIXELS / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "channels", "text", "error", "words"),
    [
        ("uint8", 3, "imagenet", TensorMismatch, "gives fractions, the input takes uint8"),
        ("float32", 1, "imagenet", TensorMismatch, "for 3 channels, the input has 1"),
        ("float32", 3, "0.1,0.2/1,1", TensorMismatch, "for 2 channels, the input has 3"),
        ("float32", 3, "127.5/127.5", ConfigError, "outside the range 0..1"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(value, dtype, channels, text, error, words):
    with pytest.raises(error, match=words):
        value(dtype, channels, normalize=parse_normalization("--normalize", text))
