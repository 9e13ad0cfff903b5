"""Lowers a float model and its spec for TensorRT: symmetric int8, float biases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from deepseek_compress.lower.checking import check_names, is_simulated
from deepseek_compress.lower.insertion import Scheme, insert
from deepseek_compress.lower.lowered import Lowered
from deepseek_compress.lower.trt_sites import trt_sites
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec

SCHEME: Final = Scheme(signed=True, biases=False)


def lower_trt(model: FloatModel, spec: QuantSpec, *, skip: Collection[str] = ()) -> Lowered:
    """The file for TensorRT; nodes named in `skip` stay float.

    Raises:
        InputError: the spec belongs to another model, or `skip` names no node.
    """
    check_names(model, spec, skip)
    sites = trt_sites(model, spec, skip)
    return Lowered(
        proto=insert(model, spec, sites, SCHEME),
        target="trt",
        stays_float=sites.stays_float,
        simulated=is_simulated(spec),
        notes=model.notes,
    )
