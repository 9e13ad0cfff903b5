"""The operators of the domain ai.deepseek, as model-local functions.

`MatchL2` and `MatchHamming` find the k nearest rows of a gallery. Each carries a body of standard
operators (opset 18 or later), so that every ONNX runtime runs the same file, while a device with
a better kernel recognizes the operator by domain and name and takes it whole. `k` is an input
because a reference to a function attribute inside a Constant fails ONNX Runtime's shape inference.

Legend: B queries, N gallery rows, D dimensions, W packed bytes, k neighbors, K = min(k, blocks).

How the bodies work: one matrix product scores every gallery row, the scores are cut into blocks
of `BLOCK_ROWS` consecutive rows, and only the K blocks with the best maxima are ranked exactly.
That loses nothing. Say a row e is among the k best but its block is not among the K chosen: then
each of k other blocks holds a row that beats e, by score or, at equal score, by the lower index
(blocks are consecutive, and TopK puts the lower block first); so e is not among the k best.
The chosen blocks are put back in ascending order before the last TopK, hence ties always go to
the lowest gallery index.

What depends on the gallery alone (norms, padding, transposes) folds to constants in ONNX Runtime
when the gallery is an initializer (`bind_gallery`); with the gallery as an input it is computed on
every run.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, parser, shape_inference

from deepseek_onnx.domain import DOMAIN, DOMAIN_VERSION

MIN_OPSET = 18  # ReduceMax takes its axes as an input from here on
MIN_IR_VERSION = 8  # the first with model-local functions
BLOCK_ROWS = 32  # 16, 64 and 128 took within 8 % of it (x86 with VNNI, one thread)

Metric = Literal["l2", "hamming"]

# Rows are padded to whole blocks with a bias no real row can reach, so padding is never chosen.
_CONSTANTS = """
  one = Constant <value = int64[1] {1}> ()
  zero = Constant <value = int64[1] {0}> ()
  rest = Constant <value = int64[1] {-1}> ()
  keep_first = Constant <value = int64[2] {0, -1}> ()
  third_axis = Constant <value = int64[1] {2}> ()
  block_rows = Constant <value = int64[1] {$rows}> ()
  block_rows_less_one = Constant <value = int64[1] {$rows_less_one}> ()
  row_in_block = Constant <value = int64[$rows] {$row_numbers}> ()
  num_rows = Shape <start = 0, end = 1> (gallery)
  rounded = Add (num_rows, block_rows_less_one)
  num_blocks = Div (rounded, block_rows)
  num_padded = Mul (num_blocks, block_rows)
  num_missing = Sub (num_padded, num_rows)
  pads_2d = Concat <axis = 0> (zero, zero, num_missing, zero)
  pads_1d = Concat <axis = 0> (zero, num_missing)
"""

_BEST_BLOCKS = """
  blocks_shape = Concat <axis = 0> (rest, num_blocks, block_rows)
  scores_by_block = Reshape (scores, blocks_shape)
  block_best = ReduceMax <keepdims = 0> (scores_by_block, third_axis)
  num_chosen = Min (k, num_blocks)
  chosen_best, chosen_ranked = TopK <axis = 1> (block_best, num_chosen)
  chosen, chosen_order = TopK <axis = 1, largest = 0> (chosen_ranked, num_chosen)
  chosen_3d = Unsqueeze (chosen, third_axis)
  candidates_3d = GatherND <batch_dims = 1> (scores_by_block, chosen_3d)
  candidates = Reshape (candidates_3d, keep_first)
  first_row = Mul (chosen_3d, block_rows)
  candidate_rows_3d = Add (first_row, row_in_block)
  candidate_rows = Reshape (candidate_rows_3d, keep_first)
  best, best_place = TopK <axis = 1> (candidates, k)
  best_place_3d = Unsqueeze (best_place, third_axis)
  indices = GatherND <batch_dims = 1> (candidate_rows, best_place_3d)
"""

# score = 2 q.g - |g|^2 = |q|^2 - distance: the largest score is the smallest distance.
_L2_FLOAT32 = """
  nothing = Constant <value = float {0.0}> ()
  unreachable = Constant <value = float {-inf}> ()
  query_squared = Mul (query, query)
  query_norm = ReduceSum <keepdims = 1> (query_squared, one)
  gallery_squared = Mul (gallery, gallery)
  gallery_norm = ReduceSum <keepdims = 0> (gallery_squared, one)
  bias = Neg (gallery_norm)
  padded_bias = Pad (bias, pads_1d, unreachable)
  padded_gallery = Pad (gallery, pads_2d)
  scores = Gemm <alpha = 2.0, transB = 1> (query, padded_gallery, padded_bias)
"""
_L2_FLOAT32_DISTANCE = """
  signed_distances = Sub (query_norm, best)
  distances = Max (signed_distances, nothing)
"""

# The query moves to uint8 with zero point 128: ORT's s8 x s8 product is some 30 times slower.
_L2_INT8 = """
  two = Constant <value = int32 {2}> ()
  offset = Constant <value = int32 {128}> ()
  offset_u8 = Constant <value = uint8 {128}> ()
  unreachable = Constant <value = int32 {2147483647}> ()
  query_i32 = Cast <to = 6> (query)
  shifted = Add (query_i32, offset)
  query_u8 = Cast <to = 2> (shifted)
  query_squared = Mul (query_i32, query_i32)
  query_norm = ReduceSum <keepdims = 1> (query_squared, one)
  gallery_i32 = Cast <to = 6> (gallery)
  gallery_squared = Mul (gallery_i32, gallery_i32)
  gallery_norm = ReduceSum <keepdims = 0> (gallery_squared, one)
  padded_norm = Pad (gallery_norm, pads_1d, unreachable)
  padded_gallery = Pad (gallery, pads_2d)
  weights = Transpose <perm = [1, 0]> (padded_gallery)
  products = MatMulInteger (query_u8, weights, offset_u8)
  doubled = Mul (products, two)
  scores = Sub (doubled, padded_norm)
"""
_INTEGER_DISTANCE = "distances = Sub (query_norm, best)"

# Weights of +1 (bit set) and -1 save a pass: q.(2g - 1) - |g| = 2 q.g - |q| - |g| = -distance.
_HAMMING = """
  bit_masks = Constant <value = uint8[8] {1, 2, 4, 8, 16, 32, 64, 128}> ()
  two = Constant <value = int32 {2}> ()
  one_i32 = Constant <value = int32 {1}> ()
  unreachable = Constant <value = int32 {2147483647}> ()
  query_bytes = Unsqueeze (query, third_axis)
  query_masked = BitwiseAnd (query_bytes, bit_masks)
  query_set = Cast <to = 9> (query_masked)
  query_bits_3d = Cast <to = 2> (query_set)
  query_bits = Reshape (query_bits_3d, keep_first)
  gallery_bytes = Unsqueeze (gallery, third_axis)
  gallery_masked = BitwiseAnd (gallery_bytes, bit_masks)
  gallery_set = Cast <to = 9> (gallery_masked)
  gallery_bits_3d = Cast <to = 6> (gallery_set)
  gallery_bits = Reshape (gallery_bits_3d, keep_first)
  gallery_count = ReduceSum <keepdims = 0> (gallery_bits, one)
  padded_count = Pad (gallery_count, pads_1d, unreachable)
  doubled_bits = Mul (gallery_bits, two)
  signs_i32 = Sub (doubled_bits, one_i32)
  signs = Cast <to = 3> (signs_i32)
  padded_signs = Pad (signs, pads_2d)
  weights = Transpose <perm = [1, 0]> (padded_signs)
  products = MatMulInteger (query_bits, weights)
  scores = Sub (products, padded_count)
"""
_HAMMING_DISTANCE = "distances = Neg (best)"

_L2_BODIES: Mapping[str, tuple[str, str]] = {
    "float32": (_L2_FLOAT32, _L2_FLOAT32_DISTANCE),
    "int8": (_L2_INT8, _INTEGER_DISTANCE),
}
_DTYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
}


def match_l2_function(dtype: str, *, opset: int = MIN_OPSET) -> onnx.FunctionProto:
    """Return MatchL2: the k nearest by squared Euclidean distance.

    `MatchL2(query[B, D], gallery[N, D], k int64[1]) -> (indices int64[B, k], distances[B, k])`,
    nearest first, ties to the lowest index, 1 <= k <= N. As in faiss the distance is squared, no
    root is taken. `dtype` is the type of query and gallery:

    - "float32": distances float32 from |q|^2 - 2 q.g + |g|^2, clipped at 0. The expanded form
      loses digits when the norms are large against the distance; ties are those of the rounded
      values.
    - "int8": distances int32, exact for D <= 33,025 (255^2 D must fit an int32).

    On x86 without VNNI, ONNX Runtime's u8 x s8 product saturates unless the session is given
    `session.x64quantprecision = 1`; with VNNI it is exact as it is.

    Raises:
        ValueError: for another dtype, or an opset before 18.
    """
    if dtype not in _L2_BODIES:
        raise ValueError(f"MatchL2 takes {' or '.join(_L2_BODIES)} embeddings, not {dtype!r}")
    scores, distances = _L2_BODIES[dtype]
    return _function("MatchL2", (scores, _BEST_BLOCKS, distances), opset)


def match_hamming_function(*, opset: int = MIN_OPSET) -> onnx.FunctionProto:
    """Return MatchHamming: the k nearest by number of differing bits.

    `MatchHamming(query uint8[B, W], gallery uint8[N, W], k int64[1]) -> (indices int64[B, k],
    distances int32[B, k])`, nearest first, ties to the lowest index, 1 <= k <= N. Rows are packed
    bits, 8 W of them; their order inside a byte does not matter. Exact.

    Raises:
        ValueError: for an opset before 18.
    """
    return _function("MatchHamming", (_HAMMING, _BEST_BLOCKS, _HAMMING_DISTANCE), opset)


def attach_match(
    model: onnx.ModelProto,
    *,
    query: str,
    metric: Metric,
    gallery_input: str = "gallery",
    k_input: str = "k",
) -> onnx.ModelProto:
    """Return a copy of the model that ends in a matching stage.

    `query` names a tensor [B, D] of the graph (float32 or int8 for "l2", uint8 for "hamming").
    The copy has two more inputs, `gallery_input` [N, D] of the query's dtype and `k_input`
    int64[1], and two more outputs, `indices` int64[B, k] and `distances` [B, k].

    Raises:
        ValueError: when the query is missing or has the wrong rank or dtype, a name is taken, the
            metric is unknown, or the model's opset is before 18.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _require_free(result, (gallery_input, k_input, "indices", "distances"))
    elem_type, dims = _tensor_2d(result, query)
    function = _function_for(metric, elem_type, query, _opset(result))
    inputs = [query, gallery_input, k_input]
    _add_node(result, function, inputs)
    _add_values(result, inputs, elem_type, dims)
    return result


def bind_gallery(
    model: onnx.ModelProto, gallery: npt.NDArray[np.generic], *, name: str = "gallery"
) -> onnx.ModelProto:
    """Return a copy in which the input `name` is the constant `gallery` [N, D].

    A runtime then folds what depends on the gallery alone once, when it loads the model.

    Raises:
        ValueError: when the model has no such input, or dtype or width do not fit it.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    values = {value.name: value for value in result.graph.input}
    if name not in values:
        raise ValueError(f"the model has no input {name!r}; it has {sorted(values)}")
    tensor = numpy_helper.from_array(np.ascontiguousarray(gallery), name)
    _require_fit(values[name], tensor)
    result.graph.input.remove(values[name])
    result.graph.initializer.append(tensor)
    return result


def _function(name: str, parts: Sequence[str], opset: int) -> onnx.FunctionProto:
    if opset < MIN_OPSET:
        raise ValueError(f"{name} needs opset {MIN_OPSET} or later, not {opset}")
    body = "".join((_CONSTANTS, *parts))
    body = body.replace("$rows_less_one", str(BLOCK_ROWS - 1))
    body = body.replace("$row_numbers", ", ".join(map(str, range(BLOCK_ROWS))))
    body = body.replace("$rows", str(BLOCK_ROWS))
    return parser.parse_function(
        f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>\n'
        f"{name} (query, gallery, k) => (indices, distances) {{\n{body}\n}}"
    )


def _function_for(metric: str, elem_type: int, query: str, opset: int) -> onnx.FunctionProto:
    dtype = _DTYPES.get(elem_type, TensorProto.DataType.Name(elem_type).lower())
    if metric == "l2":
        return match_l2_function(dtype, opset=opset)
    if metric != "hamming":
        raise ValueError(f"metric is 'l2' or 'hamming', not {metric!r}")
    if dtype != "uint8":
        raise ValueError(f"MatchHamming takes packed uint8 bits, but {query!r} is {dtype}")
    return match_hamming_function(opset=opset)


def _opset(model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise ValueError("the model imports no version of the standard operators")
    return int(versions[0])


def _require_free(model: onnx.ModelProto, names: Sequence[str]) -> None:
    graph = model.graph
    taken = {value.name for value in (*graph.input, *graph.initializer)}
    taken.update(name for node in graph.node for name in node.output)
    clashes = sorted(taken.intersection(names))
    if clashes or len(set(names)) < len(names):
        raise ValueError(f"tensor names must be new to the graph and differ: {clashes or names}")
    if any(function.domain == DOMAIN for function in model.functions):
        raise ValueError(f"the model has a function of the domain {DOMAIN} already")


def _tensor_2d(
    model: onnx.ModelProto, name: str
) -> tuple[int, Sequence[onnx.TensorShapeProto.Dimension]]:
    graph = shape_inference.infer_shapes(model).graph
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    if name not in values:
        raise ValueError(f"the graph has no tensor {name!r} of known type")
    tensor = values[name].type.tensor_type
    if len(tensor.shape.dim) != 2:
        raise ValueError(f"the query {name!r} must have 2 dimensions, not {len(tensor.shape.dim)}")
    return tensor.elem_type, tensor.shape.dim


def _add_node(model: onnx.ModelProto, function: onnx.FunctionProto, inputs: Sequence[str]) -> None:
    node = helper.make_node(
        function.name, inputs, ["indices", "distances"], name="match", domain=DOMAIN
    )
    model.graph.node.append(node)
    model.functions.append(function)
    if all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, DOMAIN_VERSION))
    model.ir_version = max(model.ir_version, MIN_IR_VERSION)


def _add_values(
    model: onnx.ModelProto,
    inputs: Sequence[str],
    elem_type: int,
    dims: Sequence[onnx.TensorShapeProto.Dimension],
) -> None:
    batch, width = (dim.dim_value or dim.dim_param or None for dim in dims)
    float32 = elem_type == TensorProto.FLOAT
    distance_type = TensorProto.FLOAT if float32 else TensorProto.INT32
    _, gallery, k = inputs
    value = helper.make_tensor_value_info
    model.graph.input.extend(
        [value(gallery, elem_type, ["num_gallery", width]), value(k, TensorProto.INT64, [1])]
    )
    shape = [batch, "num_neighbors"]
    model.graph.output.extend(
        [value("indices", TensorProto.INT64, shape), value("distances", distance_type, shape)]
    )


def _require_fit(value: onnx.ValueInfoProto, tensor: onnx.TensorProto) -> None:
    expected = value.type.tensor_type
    width = [dim.dim_value for dim in expected.shape.dim][1:]
    fits = len(tensor.dims) == 2 and width in ([0], list(tensor.dims[1:]))
    if fits and tensor.data_type == expected.elem_type:
        return
    name = TensorProto.DataType.Name
    raise ValueError(
        f"the gallery {value.name!r} must be {name(expected.elem_type).lower()} [N, {width[0]}], "
        f"not {name(tensor.data_type).lower()} {list(tensor.dims)}"
    )
