"""Retrieval across modalities: the nearest vectors of another modality, by the SDK's matcher.

The search is a model of one operator, `ai.deepseek::MatchL2`. A device that has a kernel for it
(an FPGA, OpenCL) takes it whole; every other one runs the body that the file carries. Which does
it, the session decides by cost. Unit vectors are nearest by squared distance where they are
nearest by cosine.

Legend: Q queries, N vectors of the gallery, D width, k neighbors.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from deepseek_core import Artifact, Session, errors

_OPSET: Final = 18
_BODY: Final = f"""
<domain: "ai.deepseek", opset_import: ["" : {_OPSET}]>
MatchL2 (query, gallery, k) => (indices, distances) {{
  one = Constant <value = int64[1] {{1}}> ()
  nothing = Constant <value = float {{0.0}}> ()
  query_squared = Mul (query, query)
  query_norm = ReduceSum <keepdims = 1> (query_squared, one)
  gallery_squared = Mul (gallery, gallery)
  gallery_norm = ReduceSum <keepdims = 0> (gallery_squared, one)
  bias = Neg (gallery_norm)
  scores = Gemm <alpha = 2.0, transB = 1> (query, gallery, bias)
  best, indices = TopK <axis = 1> (scores, k)
  signed = Sub (query_norm, best)
  distances = Max (signed, nothing)
}}
"""

Vectors = npt.NDArray[np.float32]


class Neighbors(NamedTuple):
    """Rows of the gallery [Q, k], nearest first, and squared distances [Q, k]."""

    indices: npt.NDArray[np.int64]
    distances: Vectors


def matching_model(width: int) -> Artifact:
    """Make the model of a search among vectors of this width."""
    from onnx import TensorProto, helper, parser

    value = helper.make_tensor_value_info
    node = helper.make_node(
        "MatchL2", ["query", "gallery", "k"], ["indices", "distances"], domain="ai.deepseek"
    )
    graph = helper.make_graph(
        [node],
        "retrieval",
        [
            value("query", TensorProto.FLOAT, ["batch", width]),
            value("gallery", TensorProto.FLOAT, ["rows", width]),
            value("k", TensorProto.INT64, [1]),
        ],
        [
            value("indices", TensorProto.INT64, ["batch", "neighbors"]),
            value("distances", TensorProto.FLOAT, ["batch", "neighbors"]),
        ],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.deepseek", 1)]
    functions = [parser.parse_function(_BODY)]
    model = helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=9)
    return Artifact.from_bytes(model.SerializeToString(), format="onnx")


class Retriever:
    """Finds the nearest of a gallery [N, D] through a session.

    `graph` is the search with the gallery bound to it; `close` is up to the session's owner.
    """

    def __init__(self, session: Session, gallery: Any, *, neighbors: int = 1) -> None:
        vectors = _checked(gallery, "the gallery")
        if not 1 <= neighbors <= len(vectors):
            raise errors.InputError(
                f"{neighbors} neighbors of {len(vectors)} vectors can't be found",
                remedy="ask for 1 or more, and no more than the gallery has",
            )
        self._session = session
        self._width = vectors.shape[1]
        self.graph = session.load(matching_model(self._width)).bind(
            gallery=vectors, k=np.array([neighbors], np.int64)
        )

    def nearest(self, queries: Any) -> Neighbors:
        """Find the nearest vectors of each query [Q, D].

        Raises:
            TensorMismatch: other vectors than those of the gallery.
            InputError: no query, NaN or infinity.
        """
        vectors = _checked(queries, "the queries")
        if vectors.shape[1] != self._width:
            raise errors.TensorMismatch(
                f"queries are {vectors.shape[1]} wide, the gallery {self._width}",
                remedy="take both from one model",
            )
        with self._session.plan(self.graph, batch=len(vectors)) as plan:
            found = plan.run({"query": vectors})
        return Neighbors(np.asarray(found["indices"]), np.asarray(found["distances"]))


def _checked(given: Any, what: str) -> Vectors:
    vectors = np.ascontiguousarray(given, dtype=np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise errors.TensorMismatch(
            f"{what} must be vectors [rows, width], got {list(vectors.shape)}",
            remedy="give one row or more",
        )
    if not np.isfinite(vectors).all():
        raise errors.InputError(
            f"{what} have NaN or infinity in them", remedy="leave those samples out"
        )
    return vectors


def share_right(
    found: Neighbors, query_classes: npt.NDArray[Any], gallery_classes: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Tell of each query whether the nearest is of its class [Q]."""
    nearest = np.asarray(gallery_classes)[found.indices[:, 0]]
    return np.asarray(nearest == np.asarray(query_classes), np.bool_)
