"""Attributes and inputs of single operators that TensorRT does not take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import FLOATS, WHOLE, problem, rule, type_name, warning

_EVAL: Final = "export the model in evaluation mode (model.eval())"
_ONCE: Final = "drop that output, or compute it apart"
_MODES: Final = (
    "align_corners", "tf_half_pixel_for_nn", "pytorch_half_pixel", "half_pixel", "asymmetric",
)  # fmt: skip
_MOST_RANK: Final = 5
_MOST_K: Final = 3840
_RESIZE: Final = "export it with mode half_pixel or asymmetric, policy stretch, antialias=0"


@rule("AveragePool", "MaxPool", "LpPool")
def dilations(node: Node) -> Iterable[Problem]:
    """Pooling has no holes."""
    given = node.attribute("dilations", [])
    if any(d != 1 for d in given):
        what = f"pools with dilations {list(given)}; only 1 is taken"
        yield problem(node, "dilations", what, "pool without dilations, or slice before it")


@rule("MaxPool", "LayerNormalization", "Dropout")
def extra_outputs(node: Node) -> Iterable[Problem]:
    """Indices, means and masks are not given."""
    if node.operator != "Dropout" and len(node.proto.output) > 1:
        what = f"gives {len(node.proto.output)} outputs; only the first is taken"
        yield problem(node, "outputs", what, _ONCE)


@rule("Dropout")
def training_dropout(node: Node) -> Iterable[Problem]:
    """Dropout is off, and that is known before the build."""
    if not node.input(2):
        return
    value = node.constant(2)
    if value is None or bool(np.any(value)):
        yield problem(node, "training", "drops out while it trains", _EVAL)


@rule("BatchNormalization")
def training_batch_norm(node: Node) -> Iterable[Problem]:
    """Normalizes by what was learned."""
    if node.attribute("training_mode", 0):
        yield problem(node, "training", "takes its statistics from the batch", _EVAL)


@rule("LpPool", "LpNormalization")
def norms(node: Node) -> Iterable[Problem]:
    """L1 and L2 only."""
    p = node.attribute("p", 2)
    if p not in (1, 2):
        yield problem(node, "norm", f"takes the L{p} norm; L1 and L2 are taken", "use p=1 or p=2")


@rule("ScatterND", "ScatterElements")
def reduction(node: Node) -> Iterable[Problem]:
    """Scattered values replace what was there."""
    how = node.attribute("reduction", "none")
    if how != "none":
        what = f"scatters with reduction {how!r}; only 'none' is taken"
        yield problem(node, "reduction", what, "scatter without a reduction")


@rule("Resize")
def resize(node: Node) -> Iterable[Problem]:
    """Modes that it has, scales that are known."""
    mode = node.attribute("coordinate_transformation_mode", "half_pixel")
    if mode not in _MODES:
        yield problem(node, "resize", f"resizes by {mode!r}", _RESIZE)
    if mode == "tf_half_pixel_for_nn" and _nearest(node) != "round_prefer_floor":
        yield problem(node, "resize", f"rounds by {_nearest(node)!r} in that mode", _RESIZE)
    if node.attribute("antialias", 0):
        yield problem(node, "resize", "resizes with antialias=1", _RESIZE)
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        yield problem(node, "resize", f"resizes by policy {policy!r}", _RESIZE)
    yield from _scales(node)


def _nearest(node: Node) -> str:
    return str(node.attribute("nearest_mode", "round_prefer_floor"))


def _scales(node: Node) -> Iterable[Problem]:
    at = 2 if node.opset > 10 else 1
    if node.input(at) and not node.input(3) and not node.is_foldable(at):
        what = f"resizes by scales {node.input(at)!r} that are known only when it runs"
        yield problem(node, "resize_scales", what, "make the scales an initializer, or give sizes")
    axes = node.attribute("axes")
    rank = node.rank(0)
    given = bool(node.input(at)) and not node.input(3) and not node.is_weights(at)
    if axes and given and list(axes) != list(range(rank or 0)):
        what = f"resizes along axes {list(axes)}; scales are taken for all axes in order"
        yield problem(node, "resize_axes", what, "give a scale for each axis, 1 where it stays")


@rule("Resize")
def resized_dimensions(node: Node) -> Iterable[Problem]:
    """Linear resizing changes 3 dimensions at most, cubic 2, the last ones."""
    most = {"linear": 3, "cubic": 2}.get(str(node.attribute("mode", "nearest")))
    scales = node.constant(2 if node.opset > 10 else 1)
    if most is None or scales is None or not scales.size:
        return
    if np.any(scales.ravel()[:-most] != 1):
        what = f"changes more than the last {most} dimensions by mode {node.attribute('mode')!r}"
        yield problem(node, "resize_dimensions", what, "resize in two steps, or by mode nearest")


@rule("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
def spatial_dimensions(node: Node) -> Iterable[Problem]:
    """Windows have 3 dimensions at most."""
    rank = node.rank(0)
    if rank is not None and rank > _MOST_RANK:
        what = f"has windows of {rank - 2} dimensions; 3 are taken"
        yield problem(node, "spatial", what, "fold the other dimensions into the batch")


@rule("Einsum")
def equation(node: Node) -> Iterable[Problem]:
    """Subscripts are small letters."""
    given = str(node.attribute("equation", ""))
    strange = sorted(set(given) - set("abcdefghijklmnopqrstuvwxyz->., "))
    if strange:
        what = f"has {', '.join(strange)} in its equation {given!r}; small letters are taken"
        yield problem(node, "equation", what, "write the equation in small letters")


@rule("TopK")
def largest_k(node: Node) -> Iterable[Problem]:
    """3840 at most."""
    k = node.constant(1) if node.input(1) else np.asarray(node.attribute("k", 0))
    if k is not None and k.size and int(k.ravel()[0]) > _MOST_K:
        what = f"wants the first {int(k.ravel()[0])}; {_MOST_K} are built"
        yield problem(node, "top_k", what, "take fewer", "build")


@rule("Upsample")
def upsample(node: Node) -> Iterable[Problem]:
    """Scales are known before the build."""
    if node.input(1) and not node.is_foldable(1):
        what = f"resizes by scales {node.input(1)!r} that are known only when it runs"
        yield problem(node, "resize_scales", what, "make the scales an initializer")


@rule("OneHot")
def one_hot(node: Node) -> Iterable[Problem]:
    """Check OneHot: its depth is a known whole number, or comes from shapes."""
    kind = node.elem_type(1)
    if not node.is_foldable(1) and kind in _FLOAT_KINDS:
        yield problem(node, "depth", "its depth is a FLOAT input", "make the depth an initializer")


_FLOAT_KINDS: Final = (1, 10, 11, 16)


@rule("Clip")
def clip_bounds(node: Node) -> Iterable[Problem]:
    """With bounds that are no constants, it is for FLOAT kinds, INT32 and INT64."""
    kind, bounds = node.elem_type(0), range(1, len(node.proto.input))
    if any(not node.is_weights(at) for at in bounds) and kind and kind not in FLOATS | WHOLE:
        yield problem(node, "clip", f"clips {type_name(kind)}", "cast to INT32 before it")


@rule("Slice")
def slice_axes(node: Node) -> Iterable[Problem]:
    """Without axes, there is a start for each."""
    starts, rank = node.shape(1), node.rank(0)
    if node.input(1) and not node.input(3) and starts and rank is not None and starts[0] != rank:
        what = f"has {starts[0]} starts for {rank} dimensions, and no axes"
        yield problem(node, "slice", what, "name the axes of the starts")


@rule("Split")
def last_part(node: Node) -> Iterable[Problem]:
    """Equal parts, as many as there are outputs, leave something for the last."""
    count, shape, axis = node.attribute("num_outputs", 0), node.shape(0), node.attribute("axis", 0)
    length = shape[axis] if shape and -len(shape) <= axis < len(shape) else None
    if count > 0 and isinstance(length, int) and -(-length // count) * (count - 1) > length:
        what = f"splits {length} into {count} parts, which leaves less than nothing for the last"
        yield problem(node, "split", what, "give the sizes of the parts")


@rule("MatMul")
def vector_times_stack(node: Node) -> Iterable[Problem]:
    """A vector is not multiplied by a stack of matrices."""
    right = node.rank(1)
    if node.rank(0) == 1 and right is not None and right > 2:
        what = f"multiplies a vector by a tensor of {right} dimensions"
        yield problem(node, "matmul", what, "give the vector a leading dimension of 1")


@rule("LSTM")
def coupled_gates(node: Node) -> Iterable[Problem]:
    """Input and forget gates are apart."""
    if node.attribute("input_forget", 0):
        yield problem(
            node, "lstm", "couples input and forget gates", "export it with input_forget=0"
        )


@rule("LSTM", "GRU", "RNN")
def both_directions(node: Node) -> Iterable[Problem]:
    """Both directions have the same activations."""
    given = node.attribute("activations", [])
    half = len(given) // 2
    if node.attribute("direction") == "bidirectional" and given[:half] != given[half:]:
        what = f"has activations {given}; both directions must have the same"
        yield problem(node, "activations", what, "use the same activations in both directions")


@rule("Constant")
def constant(node: Node) -> Iterable[Problem]:
    """Constants are dense numbers."""
    for name in ("sparse_value", "value_string", "value_strings"):
        if node.attribute(name) is not None:
            yield problem(node, "constant", f"is given by {name}", "export it as a dense tensor")


@rule("Loop")
def loop(node: Node) -> Iterable[Problem]:
    """Told both how often and until when, scan outputs may end too late."""
    if node.input(0) and node.scope.comes_from_float_input(node.input(0)):
        what = "counts its trips by a FLOAT that comes in from outside"
        yield problem(node, "loop", what, "pass the count in as INT64")
    if node.input(0) and node.input(1) and not node.is_foldable(1):
        what = "has both a trip count and a condition: scan outputs of an early end are not cut"
        yield warning(node, "loop", what, "leave the trip count or the condition out")


@rule("If")
def branch_ranks(node: Node) -> Iterable[Problem]:
    """Both branches give tensors of one rank, unless the condition is known before the build."""
    if node.is_foldable(0):
        return
    ranks = [node.branch_ranks(name) for name in ("then_branch", "else_branch")]
    for at, (then, other) in enumerate(zip(*ranks, strict=False)):
        if then is not None and other is not None and then != other:
            what = f"gives {then} dimensions in one branch and {other} in the other (output {at})"
            yield problem(node, "branch_ranks", what, "reshape them to one rank", "build")


@rule("STFT")
def stft(node: Node) -> Iterable[Problem]:
    """Steps and windows are constants."""
    for index, name in ((1, "frame step"), (2, "window"), (3, "frame length")):
        if node.input(index) and not node.is_weights(index):
            yield problem(node, "stft", f"its {name} is not a constant", "make it an initializer")
            return


@rule("TensorScatter")
def tensor_scatter(node: Node) -> Iterable[Problem]:
    """A linear cache of four dimensions."""
    mode, rank = node.attribute("mode", "linear"), node.rank(0)
    if mode != "linear":
        yield problem(node, "tensor_scatter", f"its mode is {mode!r}", "use mode 'linear'")
    if rank not in (None, 4):
        what = f"its cache has {rank} dimensions; 4 are taken"
        yield problem(node, "tensor_scatter", what, "reshape the cache to 4 dimensions")


@rule("NonMaxSuppression")
def suppression(node: Node) -> Iterable[Problem]:
    """Parsed, and then there is nothing that runs it."""
    what = "is parsed, and then TensorRT-RTX has nothing that runs it"
    yield problem(node, "no_runner", what, "cut it off the model and run it on the CPU", "build")
