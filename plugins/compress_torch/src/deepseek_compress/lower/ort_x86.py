"""Lowers a float model and its spec for ONNX Runtime on x86.

uint8 asymmetric activations and int8 symmetric weights per output channel, with int32 biases:
the combination for which its VNNI and AMX kernels are fast.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from deepseek_compress.lower.checking import check_names, is_simulated
from deepseek_compress.lower.insertion import Scheme, insert
from deepseek_compress.lower.lowered import Lowered
from deepseek_compress.lower.ort_sites import ort_sites
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec

SCHEME: Final = Scheme(signed=False, biases=True)


def lower_ort_x86(model: FloatModel, spec: QuantSpec, *, skip: Collection[str] = ()) -> Lowered:
    """The file for ONNX Runtime on x86; nodes named in `skip` stay float.

    Raises:
        InputError: the spec belongs to another model, or `skip` names no node.
    """
    check_names(model, spec, skip)
    sites = ort_sites(model, spec, skip)
    return Lowered(
        proto=insert(model, spec, sites, SCHEME),
        target="ort_x86",
        stays_float=sites.stays_float,
        simulated=is_simulated(spec),
        notes=model.notes,
    )
