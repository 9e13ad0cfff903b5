"""What a program takes and makes, as records: inputs, outputs, operators."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

import attrs

from deepseek_core import Operation, TensorSpec, errors
from deepseek_cuda.torch_programs.vetting import refuse

DOMAIN: Final = "torch"
_DTYPES: Final = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
_PASSED: Final = {
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64",
}  # fmt: skip
"""What numpy has and a GPU takes."""

_STRIDED: Final = 7
_OPERATORS: Final = {
    "Add": "+", "Mul": "*", "Pow": "**", "FloorDiv": "//", "Mod": "%", "PythonMod": "%",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Signature:
    """What crosses the border of a program, in its order, and the operators inside."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operations: tuple[Operation, ...]


def signature_of(program: dict[str, Any]) -> Signature:
    """Read a program that was vetted.

    Raises:
        ArtifactError: an input or output is not a tensor that can cross a border, or it has state.
    """
    try:
        return _signature(program["graph_module"])
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration, ValueError) as error:
        if isinstance(error, errors.ArtifactError):
            raise
        raise refuse(f"its graph lacks something: {error!r}") from error


def _signature(module: dict[str, Any]) -> Signature:
    graph = module["graph"]
    values = {name: _spec(name, meta) for name, meta in graph["tensor_values"].items()}
    inputs = [name for row in module["signature"]["input_specs"] for name in _input(row)]
    made = [name for row in module["signature"]["output_specs"] for name in _output(row)]
    state = {name for argument in graph["inputs"] for name in _tensors(argument)}
    _check_state(graph, state, set(inputs))
    if not inputs or not made:
        raise refuse(
            "it takes or makes no tensor", change="give it a tensor to take and one to return"
        )
    names = _names(made, state)
    called = dict(zip(made, names, strict=False))
    outputs = [attrs.evolve(_border(values[was]), name=name)
               for was, name in zip(made, names, strict=True)]  # fmt: skip
    return Signature(
        inputs=tuple(_border(values[name]) for name in inputs),
        outputs=tuple(outputs),
        operations=tuple(_operations(graph, values, called)),
    )


def _spec(name: str, meta: dict[str, Any]) -> TensorSpec | None:
    """None for a dtype that has no name here; such a tensor may be inside, at no border."""
    dtype = _DTYPES.get(meta["dtype"])
    if dtype is None or meta["layout"] != _STRIDED:
        return None
    return TensorSpec(name=name, dtype=dtype, shape=[_size(size) for size in meta["sizes"]])


def _border(spec: TensorSpec | None) -> TensorSpec:
    if spec is None or spec.dtype not in _PASSED:
        what = "a tensor of a type or layout that numpy lacks" if spec is None else str(spec)
        raise errors.ArtifactError(
            f"{what} can't cross the border of a program",
            remedy=f"convert it inside the model: {_inside(spec)}, and export it again",
        )
    return spec


def _inside(spec: TensorSpec | None) -> str:
    """How such a tensor comes from one that numpy has, and becomes one."""
    if spec is None:
        return "x.to_sparse() in, y.to_dense() out"
    if spec.dtype.startswith("complex"):
        return "torch.view_as_complex(x) in, torch.view_as_real(y) out"
    return f"x.to(torch.{spec.dtype}) in, y.float() out"


def _size(size: dict[str, Any]) -> int | str:
    if "as_int" in size:
        return int(size["as_int"])
    return size_text(str(size["as_expr"]["expr_str"]))


def size_text(expression: str) -> str:
    """`Mul(Integer(2), Symbol('s6', positive=True))` as `2*s6`; what is rare stays as it is."""
    found = _written(ast.parse(expression, mode="eval").body)
    return found or expression


def _written(node: ast.AST) -> str:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return ast.unparse(node)
    name, args = node.func.id, node.args
    if name in {"Symbol", "Integer"} and args and isinstance(args[0], ast.Constant | ast.UnaryOp):
        return str(ast.literal_eval(args[0]))
    if name in _OPERATORS and len(args) > 1:
        parts = [_written(arg) for arg in args]
        return _OPERATORS[name].join(p if p.isalnum() else f"({p})" for p in parts)
    return f"{name}({', '.join(map(_written, args))})"


def _input(row: dict[str, Any]) -> Iterator[str]:
    (kind, spec), = row.items()  # fmt: skip
    if kind in {"parameter", "buffer", "tensor_constant", "constant_input"}:
        return
    if kind != "user_input" or "as_tensor" not in spec["arg"]:
        value = next(iter(spec.get("arg", {}).values()), None)
        told = value["as_name"] if isinstance(value, dict) and "as_name" in value else kind
        raise refuse(
            f"the input {told!r} is not a tensor",
            change="give it as a tensor, or make it a constant of the model",
        )
    yield str(spec["arg"]["as_tensor"]["name"])


def _output(row: dict[str, Any]) -> Iterator[str]:
    """Yield the name of an output; nothing for a value that is always None."""
    (kind, spec), = row.items()  # fmt: skip
    if kind != "user_output":
        raise _stateful(kind.replace("_", " "))
    if "as_none" in spec["arg"]:
        return
    if "as_tensor" not in spec["arg"]:
        raise refuse("an output is not a tensor", change="return tensors only")
    yield str(spec["arg"]["as_tensor"]["name"])


def _stateful(what: str) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"the program changes its inputs or its own state ({what}): a run would depend on others",
        remedy="model.eval() first, if it is a norm that counts batches; else return the new state "
        "as an output; and export it again",
    )


def _check_state(graph: dict[str, Any], state: set[str], inputs: set[str]) -> None:
    """See that nothing is written in place into what is not made inside; torch proves the rest."""
    for node in graph["nodes"]:
        name = node["target"].split(".")[-2] if node["target"].startswith("torch.ops.") else ""
        if not name.endswith("_") or name.endswith("__") or not node["inputs"]:
            continue
        written = node["inputs"][0]["arg"].get("as_tensor", {}).get("name")
        if written in state:
            kind = "input" if written in inputs else "buffer"
            raise _stateful(f"{name} writes into the {kind} {written!r}")


def _names(made: list[str], state: set[str]) -> list[str]:
    """Names of the outputs; one that the program returns twice or hands through gets its own."""
    names: list[str] = []
    for place, name in enumerate(made):
        taken = name in state or name in names
        names.append(f"output_{place}" if taken else name)
    return names


def _operations(
    graph: dict[str, Any], values: dict[str, TensorSpec | None], called: dict[str, str]
) -> Iterator[Operation]:
    for node in graph["nodes"]:
        made = [value for argument in node["outputs"] for value in _tensors(argument)]
        given = [value for each in node["inputs"] for value in _tensors(each["arg"])]
        yield Operation(
            name=node["target"].removeprefix("torch.ops."),
            domain=DOMAIN,
            version=1,
            inputs=_known(given, values, {}),
            outputs=_known(made, values, called),
        )


def _tensors(argument: dict[str, Any]) -> list[str]:
    if "as_tensor" in argument:
        return [str(argument["as_tensor"]["name"])]
    return [str(each["name"]) for each in argument.get("as_tensors", ())]


def _known(
    names: list[str], values: dict[str, TensorSpec | None], called: dict[str, str]
) -> list[TensorSpec]:
    found = [(name, values.get(name)) for name in names]
    return [attrs.evolve(spec, name=called.get(n, n)) for n, spec in found if spec is not None]
