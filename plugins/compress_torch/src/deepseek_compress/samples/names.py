"""Names of arrays: what users give, under the names of the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import attrs

from deepseek_compress.samples.convert import Array, is_arraylike
from deepseek_core import errors

LABELS: Final = "labels"
_X, _Y = "x", "y"
_LONE: Final = "input"


@attrs.frozen(kw_only=True)
class Expected:
    """What a data set is for: shapes by input name, the batch axis first; and where it is named.

    An empty shape is one that is not known; without any inputs there is one, of the name "input".
    """

    inputs: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    where: str = "the data"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(self.inputs) or (_LONE,)

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Hold the shape of one sample against the input's.

        Raises:
            TensorMismatch: it is another one.
        """
        wanted = self.inputs.get(name, ())[1:]
        if not wanted or tuple(shape) == wanted:
            return
        raise errors.TensorMismatch(
            f"{self.where}: samples of input {name!r} have shape {tuple(shape)}, "
            f"and the model's input has {wanted}",
            remedy=_reshaped(tuple(shape), tuple(self.inputs[name])),
        )


def _reshaped(shape: tuple[int, ...], whole: tuple[int, ...]) -> str:
    """What makes samples of a shape those of an input, whose shape has the batch first."""
    wanted = whole[1:]
    if shape == whole:
        sizes = ", ".join(map(str, (1, *whole)))
        return f"model.input begins with the batch: [{sizes}]"
    if shape == tuple(size for size in wanted if size != 1):
        axis = next(place for place, size in enumerate(wanted) if size == 1)
        return f"add the missing axis: np.expand_dims(x, {axis + 1})"
    if len(shape) > 1 and (shape[-1], *shape[:-1]) == wanted:
        return "put the channels first: np.moveaxis(x, -1, 1)"
    return f"let the function give samples of shape {wanted}"


def named(given: Any, expected: Expected) -> tuple[dict[str, Any], Any]:
    """Inputs by name, and labels (None without any), of a pair, a mapping or inputs alone.

    Raises:
        InputError: names that the model does not have (the nearest is told), or a number of
            arrays that could mean several things.
    """
    if isinstance(given, Mapping):
        return _of_mapping(given, expected)
    if isinstance(given, tuple | list):
        return _of_sequence(given, expected)
    return _inputs(given, expected), None


def _of_mapping(given: Mapping[str, Any], expected: Expected) -> tuple[dict[str, Any], Any]:
    keys = set(given)
    if keys <= {_X, _Y} and _X in keys and (_X not in expected.names or expected.names == (_X,)):
        return _inputs(given[_X], expected), given.get(_Y)
    known = [*expected.names, LABELS] if expected.inputs else [*(keys - {LABELS}), LABELS]
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            raise errors.InputError(
                f"{expected.where}: the model has no input {key!r}",
                remedy=f"did you mean {close[0]!r}?" if close else f"names: {', '.join(known)}",
            )
    missing = [name for name in known if name not in given and name != LABELS]
    if missing or not keys - {LABELS}:
        raise errors.InputError(
            f"{expected.where}: input {(missing or ['input'])[0]!r} is missing",
            remedy=f"give arrays for: {', '.join(missing or expected.names)}",
        )
    return {name: given[name] for name in known if name != LABELS}, given.get(LABELS)


def _of_sequence(given: Sequence[Any], expected: Expected) -> tuple[dict[str, Any], Any]:
    names = expected.names
    if len(given) == 2 and not (len(names) == 2 and _both_inputs(given)):
        return _inputs(given[0], expected), given[1]
    if len(given) == len(names) + 1 and len(names) > 1:
        return dict(zip(names, given[:-1], strict=True)), given[-1]
    raise errors.InputError(
        f"{expected.where}: {len(given)} values in a row, for a model with "
        f"{len(names)} input{'s' if len(names) > 1 else ''}",
        remedy=f"return (x, y), or {{{', '.join(repr(n) for n in names)}, 'labels'}} as a mapping",
    )


def _both_inputs(given: Sequence[Any]) -> bool:
    return all(is_arraylike(value) for value in given)


def _inputs(given: Any, expected: Expected) -> dict[str, Any]:
    names = expected.names
    if isinstance(given, Mapping):
        return _of_mapping(given, expected)[0]
    if len(names) == 1:
        return {names[0]: given}
    if isinstance(given, tuple | list) and len(given) == len(names):
        return dict(zip(names, given, strict=True))
    raise errors.InputError(
        f"{expected.where}: the model has inputs {', '.join(names)}, and one value is given",
        remedy="return ({" + ", ".join(f"{name!r}: ..." for name in names) + "}, y)",
    )


def same_length(arrays: Mapping[str, Array], where: str) -> int:
    """How many samples all of them have.

    Raises:
        InputError: they differ, or there are none.
    """
    for name, array in arrays.items():
        if array.ndim == 0:
            raise errors.InputError(
                f"{where}: {name} is one number", remedy="its first axis must count the samples"
            )
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise errors.InputError(
            f"{where}: numbers of samples differ: {said}",
            remedy="give as many labels as samples, in the same order",
        )
    count = next(iter(counts.values()))
    if not count:
        raise errors.InputError(f"{where} is empty", remedy="check the path and the split")
    return count
