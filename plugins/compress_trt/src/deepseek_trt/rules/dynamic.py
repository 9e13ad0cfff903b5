"""Inputs whose shape is not fixed, and profiles that fit them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onnx import TensorProto, ValueInfoProto

from deepseek_trt.model.facts import Facts, Node
from deepseek_trt.model.scope import Dim, shape_of
from deepseek_trt.problem import Problem, Stage
from deepseek_trt.profile import Profile
from deepseek_trt.words import words

# operator -> inputs whose numbers say how large something is
_SIZES: Final = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Slice": (1, 2, 3, 4), "Pad": (1,),
    "Resize": (2, 3), "Upsample": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2), "TopK": (1,),
    "OneHot": (1,), "Split": (1,), "Loop": (0,), "BlackmanWindow": (0,), "HammingWindow": (0,),
    "HannWindow": (0,), "CumSum": (1,),
}  # fmt: skip
_PASS_ON: Final = words(
    """
    Identity Cast Concat Gather Slice Squeeze Unsqueeze Reshape Add Sub Mul Div Mod Neg Abs
    Min Max Floor Ceil Where Relu Equal Less Greater ReduceProd ReduceSum ReduceMax
    ReduceMin
    """
)
_WHOLE: Final = (TensorProto.INT32, TensorProto.INT64)


def of_profiles(facts: Facts, profiles: Sequence[Profile]) -> Iterable[Problem]:
    """Each input that needs a profile has one, and each profile fits its input."""
    given = {profile.input: profile for profile in profiles if profile.of == "shape"}
    values = {profile.input: profile for profile in profiles if profile.of == "values"}
    names = {value.name: value for value in facts.inputs}
    yield from _of_strangers(profiles, names)
    yield from _of_named_lengths(names, given)
    sizes = _size_inputs(facts)
    for name, value in names.items():
        yield from _of_shape(value, given.get(name))
        if name in sizes and name not in values:
            what = f"input {name!r} holds sizes, and no profile says which values it may have"
            yield _problem("profile", what, f"--profile {name}=@1:@1:@16, a number for each value")


def _of_strangers(
    profiles: Sequence[Profile], names: dict[str, ValueInfoProto]
) -> Iterable[Problem]:
    for profile in profiles:
        if profile.input not in names:
            known = ", ".join(names) or "none"
            what = f"there is no input {profile.input!r} to have a profile"
            yield _problem("profile_name", what, f"inputs are: {known}")
    seen = [(profile.input, profile.of) for profile in profiles]
    for name, of in sorted({key for key in seen if seen.count(key) > 1}):
        yield _problem("profile_twice", f"input {name!r} has two profiles of its {of}", "give one")


def _of_named_lengths(
    names: dict[str, ValueInfoProto], given: dict[str, Profile]
) -> Iterable[Problem]:
    """Lengths of one name are one length: their ranges have one in common."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for name, profile in given.items():
        shape = shape_of(names[name]) if name in names else None
        for at, dim in enumerate(shape or ()):
            if isinstance(dim, str) and at < len(profile.min):
                ranges.setdefault(dim, []).append((profile.min[at], profile.max[at]))
    for dim, found in ranges.items():
        if max(low for low, _ in found) > min(high for _, high in found):
            what = f"the length {dim!r} has ranges in the profiles that share no number: {found}"
            yield _problem("profile_length", what, "give inputs that share a length one range")


def _of_shape(value: ValueInfoProto, profile: Profile | None) -> Iterable[Problem]:
    shape = shape_of(value)
    if not value.type.HasField("tensor_type"):
        return
    if shape is None:
        what = f"input {value.name!r} has no shape: the parser reads it as a single number"
        yield _problem("rank", what, "export the model with the rank of each input", "value")
    elif profile is None:
        if not all(isinstance(dim, int) for dim in shape):
            yield _problem("profile", _lacks(value.name, shape), _example(value.name, shape))
    else:
        yield from _of_fit(value.name, shape, profile)


def _of_fit(name: str, shape: tuple[Dim, ...], profile: Profile) -> Iterable[Problem]:
    if len(profile.min) != len(shape):
        what = f"the profile of {name!r} has {len(profile.min)} dimensions, the input {len(shape)}"
        yield _problem("profile_rank", what, _example(name, shape))
        return
    for at, dim in enumerate(shape):
        bounds = (profile.min[at], profile.opt[at], profile.max[at])
        if isinstance(dim, int) and set(bounds) != {dim}:
            what = f"the profile of {name!r} has {bounds} in dimension {at}, the model {dim}"
            yield _problem("profile_fixed", what, f"write {dim} there")


def _lacks(name: str, shape: tuple[Dim, ...]) -> str:
    shown = "x".join("?" if dim is None else str(dim) for dim in shape)
    return f"input {name!r} has shape {shown}, which is not fixed, and no profile"


def _example(name: str, shape: tuple[Dim, ...]) -> str:
    rows = ("x".join(str(d if isinstance(d, int) else n) for d in shape) for n in (1, 4, 16))
    return f"--profile {name}={':'.join(rows)}, with the lengths that you need"


def _size_inputs(facts: Facts) -> set[str]:
    """Inputs whose numbers end up as sizes: followed backwards from where sizes are taken."""
    found: set[str] = set()
    names = {v.name: v.type.tensor_type.elem_type for v in facts.inputs}
    todo = [(node, name) for node in facts.nodes for name in _taken_as_sizes(node)]
    seen: set[str] = set()
    while todo:
        node, name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        producer = node.scope.producer(name)
        if producer is None:
            if names.get(name) in _WHOLE:
                found.add(name)
        elif producer.op_type in _PASS_ON:
            todo += [(node, each) for each in producer.input]
    return found


def _taken_as_sizes(node: Node) -> list[str]:
    return [name for i in _SIZES.get(node.proto.op_type, ()) if (name := node.input(i))]


def _problem(name: str, what: str, remedy: str, stage: Stage = "build") -> Problem:
    return Problem(
        rule=name,
        node="",
        operator="",
        what=what,
        remedy=remedy,
        stage=stage,
    )
