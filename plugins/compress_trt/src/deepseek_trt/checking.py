"""Checks of a model: by our rules, which need no library, and by a parser if one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from onnx import ModelProto

from deepseek_trt.errors import ModelRefused
from deepseek_trt.model.read import read_model
from deepseek_trt.problem import Problem, errors_of
from deepseek_trt.profile import Profile
from deepseek_trt.rules.checker import problems_of

_OF_RTX: Final = frozenset({"plugin", "no_runner", "turing_gemm", "attention_kernel"})
"""Rules about what TensorRT-RTX lacks and full TensorRT has."""
_SHOWN: Final = 3


@attrs.frozen(kw_only=True)
class Checked:
    """What was found; `accepted` without an error among the problems."""

    problems: tuple[Problem, ...]

    @property
    def accepted(self) -> bool:
        """Whether the model can be built, and computes what it says."""
        return not errors_of(self.problems)


def check(
    model: str | Path | bytes | ModelProto,
    *,
    targets: Sequence[str] = (),
    profiles: Sequence[Profile] = (),
    flavor: str = "tensorrt_rtx",
) -> Checked:
    """Check a model by our rules; TensorRT need not be installed.

    Without `targets`, what single GPUs lack is not looked at.

    Raises:
        ArtifactError: the model can't be read.
    """
    return Checked(problems=rules_over(read_model(model), targets, profiles, flavor=flavor))


def rules_over(
    model: ModelProto, targets: Sequence[str], profiles: Sequence[Profile], *, flavor: str
) -> tuple[Problem, ...]:
    """All problems of a model for a flavor."""
    found = problems_of(model, targets, profiles)
    skipped = _OF_RTX if flavor == "tensorrt" else frozenset[str]()
    return tuple(problem for problem in found if problem.rule not in skipped)


def raise_for(problems: tuple[Problem, ...], flavor: str) -> None:
    """Raise if there is an error among the problems.

    Raises:
        ModelRefused: there is.
    """
    wrong = errors_of(problems)
    if wrong:
        shown = "; ".join(str(problem) for problem in wrong[:_SHOWN])
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ModelRefused(
            f"TensorRT does not take the model: {shown}{more}",
            device_id=flavor,
            problems=wrong,
            remedy=wrong[0].remedy,
        )
