"""What a model gives, as the one tensor or array that scores classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from deepseek_core import errors


def logits_of(output: Any) -> Any:
    """The only tensor or array of an output, or the one that a mapping calls `logits`.

    Raises:
        InputError: there are several, so which one it is would be a guess.
    """
    if isinstance(output, Mapping):  # first: of some, every name is an attribute
        if _is_tensor(output.get("logits")):
            return output["logits"]
        found = [value for value in output.values() if _is_tensor(value)]
        said = f"a mapping of {', '.join(map(str, output))}"
    elif isinstance(output, tuple | list):
        found = [value for value in output if _is_tensor(value)]
        said = f"{len(output)} values"
    elif _is_tensor(output):
        return output
    else:
        found, said = [], f"a {type(output).__name__}"
    if len(found) != 1:
        raise errors.InputError(
            f"the model gives {said}, and which of them scores the classes is not known",
            remedy=_remedy(output),
        )
    return found[0]


def _remedy(output: Any) -> str:
    if is_dataclass(output):
        return 'let it give a dict: {"logits": ...}'
    return (
        'let it give one tensor or {"logits": ...}, or train by finetune, with data.loss and '
        "data.metric of your own"
    )


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")
