"""Small files of the formats that this plugin reads, made without the libraries that make them."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

_WIDTH: Final = 4
_FLOAT, _STRIDED = 7, 7  # as torch numbers them


def engine_file(folder: Path, name: str = "relu", **changes: Any) -> Path:
    """`NAME.engine` with a manifest beside it; the bytes are no engine."""
    content = b"no engine: a file of the conformance kit"
    path = folder / f"{name}.engine"
    path.write_bytes(content)
    border = {"dtype": "FLOAT", "shape": [-1, _WIDTH]}
    manifest = {
        "format": "deepseek-trt engine 1", "flavor": "tensorrt", "version": "10.0",
        "targets": ["8.0"], "device": "", "options": {"profiles": []}, "simulated": False,
        "sha256": sha256(content).hexdigest(), "nbytes": len(content),
        "inputs": [{"name": "x", **border}], "outputs": [{"name": "y", **border}],
    }  # fmt: skip
    path.with_name(f"{path.name}.json").write_text(json.dumps(manifest | changes))
    return path


def program(operator: str = "torch.ops.aten.relu.default") -> bytes:
    """y[s0, 4] = OPERATOR(x[s0, 4]) as torch.export.save writes it."""
    symbol = {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": {"as_int": 2}}
    meta = {
        "dtype": _FLOAT, "sizes": [{"as_expr": symbol}, {"as_int": _WIDTH}],
        "requires_grad": False, "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": _WIDTH}, {"as_int": 1}], "storage_offset": {"as_int": 0},
        "layout": _STRIDED,
    }  # fmt: skip
    x, y = ({"as_tensor": {"name": name}} for name in "xy")
    node: dict[str, Any] = {
        "target": operator, "inputs": [{"name": "self", "arg": x, "kind": 1}], "outputs": [y],
        "metadata": {}, "is_hop_single_tensor_return": None, "name": "y",
    }  # fmt: skip
    graph = {
        "inputs": [x], "outputs": [y], "nodes": [node], "tensor_values": {"x": meta, "y": meta},
        "sym_int_values": {}, "sym_bool_values": {}, "is_single_tensor_return": False,
        "custom_obj_values": {}, "sym_float_values": {},
    }  # fmt: skip
    signature = {
        "input_specs": [{"user_input": {"arg": x}}], "output_specs": [{"user_output": {"arg": y}}],
    }  # fmt: skip
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    nothing = {"type": "builtins.dict", "context": "[]", "children_spec": []}
    one = {"type": "builtins.tuple", "context": "null", "children_spec": [leaf]}
    both = {"type": "builtins.tuple", "context": "null", "children_spec": [one, nothing]}
    call = {
        "inputs": [], "outputs": [], "in_spec": json.dumps([1, both]),
        "out_spec": json.dumps([1, leaf]), "forward_arg_names": ["x"],
    }  # fmt: skip
    module = {
        "graph": graph, "signature": signature, "metadata": {}, "treespec_namedtuple_fields": {},
        "module_call_graph": [{"fqn": "", "signature": call}],
    }  # fmt: skip
    whole = {
        "graph_module": module, "opset_version": {"aten": 10}, "guards_code": [],
        "range_constraints": {"s0": {"min_val": 1, "max_val": None}},
        "schema_version": {"major": 8, "minor": 0}, "verifiers": ["TRAINING"],
        "torch_version": "2.9.0",
    }  # fmt: skip
    texts = {
        "archive_format": "pt2", "archive_version": "0", "byteorder": "little",
        "models/model.json": json.dumps(whole),
        "data/weights/model_weights_config.json": '{"config": {}}',
        "data/constants/model_constants_config.json": '{"config": {}}',
    }  # fmt: skip
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, text in texts.items():
            file.writestr(zipfile.ZipInfo(f"relu/{name}"), text)
    return made.getvalue()
