"""Lowers a float model and its spec for one runtime: where it wants integers, and which."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from deepseek_compress.lower.checking import check_names, is_simulated
from deepseek_compress.lower.insertion import Scheme, insert
from deepseek_compress.lower.lowered import Lowered, Target
from deepseek_compress.onnx_graph.metadata import STANDS_FOR
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.sites import QuantSites


@attrs.frozen(kw_only=True)
class Lowering:
    """A runtime: the integers of its `scheme`, at the places that `sites` finds in a model.

    `runtime` names one that is not ONNX Runtime, which then runs its files as they are written.
    """

    target: Target
    scheme: Scheme
    sites: Callable[[FloatModel, QuantSpec, Collection[str]], QuantSites]
    runtime: str = ""

    def __call__(
        self, model: FloatModel, spec: QuantSpec, *, skip: Collection[str] = ()
    ) -> Lowered:
        """The file for this runtime; nodes named in `skip` stay float.

        Raises:
            InputError: the spec belongs to another model, or `skip` names no node.
        """
        check_names(model, spec, skip)
        sites = self.sites(model, spec, skip)
        proto = insert(model, spec, sites, self.scheme)
        if self.runtime:
            proto.metadata_props.add(key=STANDS_FOR, value=self.runtime)
        return Lowered(
            proto=proto,
            target=self.target,
            stays_float=sites.stays_float,
            simulated=is_simulated(spec),
            notes=model.notes,
        )
