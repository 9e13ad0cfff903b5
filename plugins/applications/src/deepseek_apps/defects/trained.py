"""What a training leaves, and what it belongs to: no weights are used with other data.

seed-N/recipe.toml           what `ds-sdk train run` was given
seed-N/checkpoints/          what it goes on from, beside its log/
seed-N/weights.safetensors   the trained numbers
seed-N/trained.json          classes, split and options; written last
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_apps.defects.weights import fill, read_weights
from deepseek_core import errors

if TYPE_CHECKING:
    from torch import nn

    from deepseek_apps.defects.kept import Kept
    from deepseek_apps.defects.options import Options

WEIGHTS: Final = "weights.safetensors"
TRAINED: Final = "trained.json"
_BINDING: Final = ("network", "width", "steps", "batch", "learning_rate", "flips", "light")


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Trained:
    """What a training was made of, and the CPU seconds that it took."""

    classes: tuple[str, ...] = attrs.field(converter=_tuple)
    split_hash: str
    size: tuple[int, ...] = attrs.field(converter=_tuple)
    options: dict[str, str | int | float]
    cpu_s: float = 0.0


def expected(kept: Kept, options: Options, cpu_s: float = 0.0) -> Trained:
    """What a training with these data and options is made of."""
    bound = {name: getattr(options, name) for name in _BINDING}
    return Trained(
        classes=kept.classes, split_hash=kept.items.split_hash, size=kept.size,
        options=bound, cpu_s=cpu_s,
    )  # fmt: skip


def read_trained(folder: Path) -> Trained | None:
    """What the training in a folder was made of; None if none has ended there.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / TRAINED
    try:
        return Trained(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise errors.InputError(
            f"{path} can't be read: {error}", remedy=f"take {folder} away, and train again"
        ) from error


def trained_network(folder: Path, kept: Kept, options: Options) -> nn.Module:
    """The network of a seed, ready to answer.

    Raises:
        InputError: that seed was not trained, or with other data, classes or options.
    """
    found = read_trained(folder)
    if found is None:
        raise errors.InputError(
            f"{folder.name} was not trained to its end",
            remedy=f"ds-sdk app defects train, with seed {folder.name.removeprefix('seed-')}",
        )
    check_same(found, expected(kept, options), folder)
    from deepseek_apps.defects.network import make

    model = make(options.network, channels=kept.colors + 1, classes=len(kept.classes),
                 width=options.width)  # fmt: skip
    fill(model, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval()


def check_same(found: Trained, wanted: Trained, folder: Path) -> None:
    """See that a training belongs to the data and options at hand.

    Raises:
        InputError: it does not; says in what it differs.
    """
    for name in ("classes", "split_hash", "size", "options"):
        one, other = getattr(found, name), getattr(wanted, name)
        if one != other:
            raise errors.InputError(
                f"{folder.name} was trained with other {name}: {one}, and now it is {other}",
                remedy=f"take {folder} away and train again, or go back to what it was",
            )
