"""An entry of the manifest: a file of a package as a case."""

from __future__ import annotations

from collections.abc import Mapping

from corpus_kit.case import Case, MakeInputs

from real_models.packages import PACKAGES


def model(
    package: str,
    path: str,
    domain: str,
    note: str,
    inputs: MakeInputs,
    axes: Mapping[str, int] | None = None,
) -> Case:
    """A model by its path in a package; without `axes` its items are no such.

    That is so for a sequence that is one, a size that is fixed, and a quantization that takes
    one range from all items.
    """
    return Case(
        name=f"{package}/{path.rpartition('/')[2].removesuffix('.onnx')}",
        kind=domain,
        note=note,
        place=lambda _: PACKAGES[package].file(path),
        make_inputs=inputs,
        axes=axes or {},
        origin=package,
    )
