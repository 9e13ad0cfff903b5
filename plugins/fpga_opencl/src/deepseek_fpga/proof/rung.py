"""The rungs of the proof ladder, and what was found on one of them for one kernel."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import attrs

State = Literal["holds", "fails", "not run"]


@attrs.frozen(kw_only=True)
class Rung:
    """One sort of proof: `label` is what its figures are, `limits` what they do not say."""

    id: str
    title: str
    label: str
    limits: str


RUNGS: Final[tuple[Rung, ...]] = (
    Rung(
        id="E0",
        title="bit-exact on two OpenCL runtimes",
        label="cpu-runtime",
        limits="says nothing about speed on a board",
    ),
    Rung(
        id="E1",
        title="bit-exact on a vendor's emulator, kernels joined by channels",
        label="emulator",
        limits="says nothing about cycles or clock",
    ),
    Rung(
        id="E2",
        title="cycles of a Verilog twin",
        label="RTL simulation",
        limits="holds for that RTL, not for what a vendor's compiler makes of the kernel",
    ),
    Rung(
        id="E3",
        title="area of the Verilog twin",
        label="area estimate",
        limits="LUT as a range, of mappings and versions of yosys; no clock, no power",
    ),
    Rung(
        id="E4",
        title="throughput by formula",
        label="model",
        limits="rests on an assumed clock and assumed bandwidths",
    ),
    Rung(
        id="E5",
        title="a vendor's report",
        label="vendor estimate",
        limits="what the vendor's tool says before a board has run",
    ),
    Rung(id="E6", title="bit-exact on a board", label="hardware", limits="of this board alone"),
)


@attrs.frozen(kw_only=True)
class Figure:
    """A number with what it is worth: `basis` stands beside it wherever it is shown."""

    name: str
    value: float = attrs.field()
    unit: str
    basis: str

    @value.validator
    def _finite(self, _field: object, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"the figure {self.name!r} is {value}")

    @property
    def text(self) -> str:
        """Text for people; a count is told to the last cell."""
        shown = f"{self.value:.0f}" if float(self.value).is_integer() else f"{self.value:.5g}"
        return f"{self.name} {shown} {self.unit}".rstrip() + f" ({self.basis})"

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class RungResult:
    """Whether a rung holds for a kernel, its figures, and what is missing where it was not run."""

    rung: Rung
    kernel: str
    state: State
    figures: tuple[Figure, ...] = ()
    why: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {
            "rung": self.rung.id,
            "title": self.rung.title,
            "label": self.rung.label,
            "limits": self.rung.limits,
            "kernel": self.kernel,
            "state": self.state,
            "figures": [figure.to_json() for figure in self.figures],
            "why": self.why,
            "remedy": self.remedy,
        }


def rung(name: str) -> Rung:
    """The rung of this id."""
    return next(each for each in RUNGS if each.id == name)


def not_run(
    name: str, kernel: str, why: str, remedy: str = "", figures: tuple[Figure, ...] = ()
) -> RungResult:
    """A rung that could not be tried here, or not to its end."""
    return RungResult(
        rung=rung(name), kernel=kernel, state="not run", why=why, remedy=remedy, figures=figures
    )


def judged(
    name: str, kernel: str, fault: str, figures: tuple[Figure, ...], remedy: str = ""
) -> RungResult:
    """A rung that was tried: it holds where there is no fault."""
    return RungResult(
        rung=rung(name),
        kernel=kernel,
        state="fails" if fault else "holds",
        figures=figures,
        why=fault,
        remedy=remedy if fault else "",
    )
