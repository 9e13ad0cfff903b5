"""Which axis of an input is what is found where it is clear, and asked for where it is not."""

import numpy as np
import pytest
from picture_files import wanted

from deepseek_core.cli.pictures.layout import layout_of
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.contracts.errors import TensorMismatch


def layout(*shape, batch_axis=0, **options):
    return layout_of(wanted(*shape, batch_axis=batch_axis), PictureOptions(**options))


@pytest.mark.parametrize(
    ("shape", "batch_axis", "axes", "colors"),
    [
        (("batch", 3, 224, 224), 0, "NCHW", "rgb"),
        (("batch", 224, 224, 3), 0, "NHWC", "rgb"),
        (("batch", 1, 28, 28), 0, "NCHW", "gray"),
        (("batch", "h", "w", 4), 0, "NHWC", "rgba"),
        ((1, 3, "H", "W"), None, "NCHW", "rgb"),
        ((8, 3, 5, 5), None, "NCHW", "rgb"),
        (("batch", 28, 28), 0, "NHW", "gray"),
        ((3, 224, 224), None, "CHW", "rgb"),
        ((224, 224, 1), None, "HWC", "gray"),
        ((28, 28), None, "HW", "gray"),
    ],
)
def test_axes_are_found_where_the_shape_is_clear(shape, batch_axis, axes, colors):
    found = layout(*shape, batch_axis=batch_axis)
    assert (found.axes, found.colors) == (axes, colors)


@pytest.mark.parametrize(
    ("shape", "batch_axis", "remedy"),
    [
        (("batch", 3, 3, 3), 0, "--layout NCHW or NHWC"),
        (("batch", 3, 224, 3), 0, "--layout NCHW or NHWC"),
        (("batch", "C", 224, 224), 0, "--layout NCHW"),
        (("batch", "a", "b", "c"), 0, "--layout NCHW or NHWC"),
        ((8, 28, 28), None, "--layout NHW"),
        (("n", 28, 28), None, "--layout NHW or CHW"),
        (("batch", 128, 3), 0, "--layout NHW"),
    ],
)
def test_axes_that_are_not_clear_are_asked_for(shape, batch_axis, remedy):
    with pytest.raises(TensorMismatch, match=r"input 'x' .* leaves open") as caught:
        layout(*shape, batch_axis=batch_axis)
    assert caught.value.remedy == f"add {remedy}"


@pytest.mark.parametrize(
    ("shape", "batch_axis"),
    [
        (("batch", 2, 64, 64), 0),
        (("batch", 512), 0),
        ((3, "batch", 64, 64), 1),
        (("batch", 3, 16, 64, 64), 0),
        (("batch", 3, 0, 64), 0),
        ((), None),
    ],
)
def test_what_no_picture_fits_is_refused(shape, batch_axis):
    with pytest.raises(TensorMismatch, match="does not have the shape of a picture"):
        layout(*shape, batch_axis=batch_axis)


def test_a_layout_that_is_given_settles_it():
    assert layout("batch", 3, 3, 3, layout="NHWC").axes == "NHWC"
    assert layout("n", 28, 28, batch_axis=None, layout="NHW").axes == "NHW"
    with pytest.raises(TensorMismatch, match="is no NHWC"):
        layout("batch", 3, 224, 224, layout="NHWC")
    with pytest.raises(TensorMismatch, match="is no CHW"):
        layout("batch", 28, 28, layout="CHW")


def test_a_free_number_of_channels_is_asked_for():
    with pytest.raises(TensorMismatch, match="any number of channels"):
        layout("batch", "C", 64, 64, layout="NCHW")
    assert layout("batch", "C", 64, 64, layout="NCHW", channel_order="bgr").channels == 3


def test_a_channel_order_has_as_many_channels_as_the_input():
    assert layout("batch", 3, 64, 64, channel_order="bgr").colors == "bgr"
    with pytest.raises(TensorMismatch, match="has 3 channels, --channel-order gray has 1"):
        layout("batch", 3, 64, 64, channel_order="gray")


def test_a_size_may_only_fill_in_what_is_free():
    found = layout("batch", 3, "H", 320, size=(48, 320))
    assert (found.height, found.width) == (48, 320)
    with pytest.raises(TensorMismatch, match="--size 224x225 does not fit"):
        layout("batch", 3, 224, 224, size=(224, 225))
    with pytest.raises(TensorMismatch, match="--size 48x320 does not fit"):
        layout("batch", 3, "S", "S", size=(48, 320))


def test_rounding_a_size_that_the_model_fixes_is_refused():
    with pytest.raises(TensorMismatch, match="--size-multiple does nothing"):
        layout("batch", 3, 224, 224, size_multiple=32)
    assert layout("batch", 3, 48, "W", size_multiple=32).width is None


def test_only_inputs_of_several_pictures_need_one_size():
    assert layout("batch", 3, "H", "W").together
    assert layout(8, 3, "H", "W", batch_axis=None).together
    assert not layout(1, 3, "H", "W", batch_axis=None).together
    assert not layout(3, "H", "W", batch_axis=None).together


@pytest.mark.parametrize("colors", ["rgb", "bgr", "rgba", "bgra", "gray"])
@pytest.mark.parametrize("axes", ["NCHW", "NHWC"])
def test_pixels_are_put_in_the_order_of_the_layout(axes, colors):
    pixels = np.arange(24).reshape(2, 3, 4)[..., : {"gray": 1}.get(colors, len(colors))]
    channels = pixels.shape[-1]
    shape = ("n", channels, 9, 9) if axes == "NCHW" else ("n", 9, 9, channels)
    placed = layout(*shape, layout=axes, channel_order=colors).arranged(pixels)
    assert placed.flags.c_contiguous
    hwc = placed.transpose(1, 2, 0) if axes == "NCHW" else placed
    order = [0] if colors == "gray" else ["rgba".index(color) for color in colors]
    np.testing.assert_array_equal(hwc, pixels[..., order])
