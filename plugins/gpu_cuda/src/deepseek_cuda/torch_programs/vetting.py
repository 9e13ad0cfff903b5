"""What a program may say: every word of its file is read here before torch gets it.

`torch.export.load` trusts a file: it unpickles what is marked so, evaluates expressions of shapes
and guards as Python, finds operators by attribute in all of torch, and writes names into source
code. None of that is given anything that these rules do not know.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from deepseek_core import errors

_TARGET: Final = re.compile(r"torch\.ops\.(aten|prims|higher_order)\.(\w+)(\.\w+)?")
_NUMBERS: Final = re.compile(
    r"_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pos|pow|abs|eq|ne|lt|le|gt|ge|and_|or_|not_"
    r"|getitem)|math\.(ceil|floor|trunc|sqrt|pow|log2?)|torch\.sym_(float|int|max|min|not|sum|ite)"
)
# Of aten, the one operator that opens files.
_FORBIDDEN: Final = frozenset({"from_file"})
_BODIES: Final = frozenset(
    {"wrap_with_set_grad_enabled", "wrap_with_autocast", "cond", "while_loop", "map_impl"}
)
_WORD: Final = re.compile(r"[\w.+<>\-]{0,1000}", re.ASCII)
# An operator's own argument, which torch writes into source code as Python's repr has it.
_TEXT: Final = re.compile(r"[ -~]{0,1000}")
_FUNCTIONS: Final = {
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod",
    "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "TruncToInt", "FloorToInt",
    "CeilToInt", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "TruncToFloat", "PowByNatural",
    "FloatPow", "Identity", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality",
    "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "And", "Or", "Not", "Abs",
    "floor", "ceiling",
}  # fmt: skip
_ASSUMED: Final = frozenset({"positive", "integer", "nonnegative", "real", "evaluate"})
_SYMBOL: Final = re.compile(r"[a-z]+\d+", re.ASCII)
_LONGEST: Final = 20_000
_DIGITS: Final = 10**19
_ARITHMETIC: Final = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div,
    ast.Mod, ast.Pow, ast.USub, ast.Not, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt,
    ast.GtE, ast.BoolOp, ast.And, ast.Or, ast.Load,
)  # fmt: skip
_NAMES: Final = "use ASCII letters, digits, _ . - in names of modules, inputs and keys"
_NESTED: Final = "nest tensors in tuples, lists and dicts with names as keys"
_PROTOCOL: Final = 1  # of torch's own text for what is nested
_TREES: Final = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})


_AGAIN: Final = "export it again: torch.export.save(torch.export.export(model, inputs), FILE)"


def refuse(what: str, *, change: str = "") -> errors.ArtifactError:
    """The error for a file that says something else than a program does.

    `change` is what the model needs where the same export would give the same file.
    """
    return errors.ArtifactError(
        f"no program that is run here: {what}",
        remedy=f"{change}, and export it again" if change else _AGAIN,
    )


def vetted(value: Any, key: str = "") -> Any:
    """The same, with every text known to be harmless; what only describes its making left out.

    Raises:
        ArtifactError: something that no program needs.
    """
    if isinstance(value, dict):
        return {
            _known(name): {} if name == "metadata" else vetted(item, name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [vetted(item, key) for item in value]
    if isinstance(value, str):
        return _CHECKS.get(key, word)(value)
    return value


def _known(name: object) -> str:
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise refuse(f"a field {str(name)[:80]!r}", change=_NAMES)
    return name


def word(text: str) -> str:
    """A name, or a number as text."""
    if not _WORD.fullmatch(text):
        raise refuse(f"the name {text[:80]!r}", change=_NAMES)
    return text


def target(text: str) -> str:
    """An operator of torch's own, with its overload.

    Raises:
        ArtifactError: it is of somebody else, or no operator.
    """
    found = _TARGET.fullmatch(text)
    if found is not None:
        is_body = found[1] == "higher_order"
        if found[2] not in _FORBIDDEN and (not is_body or found[2] in _BODIES):
            return text
    elif _NUMBERS.fullmatch(text):
        return text
    if found is not None and found[1] == "higher_order":
        raise refuse(
            f"the operator {text[:80]!r} is not run here",
            change="write it with torch.cond, torch.while_loop or plain operators",
        )
    raise refuse(
        f"the operator {text[:80]!r} is not one of torch's own",
        change="write it with operators of torch (torch.ops.aten)",
    )


def _plain(text: str) -> str:
    if not _TEXT.fullmatch(text):
        raise refuse(f"the text {text[:80]!r}")
    return text


def expression(text: str) -> str:
    """Arithmetic over symbols, as sympy prints it."""
    for node in _nodes(text):
        if isinstance(node, ast.Call):
            _check_call(node)
        elif isinstance(node, ast.Name):
            if node.id not in _FUNCTIONS | {"oo", "int_oo"} and not _SYMBOL.fullmatch(node.id):
                raise refuse(f"{node.id[:80]!r} in the expression of a shape")
        elif isinstance(node, ast.Constant):
            _check_constant(node.value)
        elif not isinstance(node, (*_ARITHMETIC, ast.keyword)):
            raise refuse(f"the expression {text[:80]!r} of a shape")
    return text


def _check_call(node: ast.Call) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _FUNCTIONS or any(each.arg not in _ASSUMED for each in node.keywords):
        raise refuse(f"a call of {name or 'something'!r} in the expression of a shape")
    texts = [a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if texts and name not in {"Symbol", "Float"}:
        raise refuse(f"a text in {name}")


def _check_constant(value: object) -> None:
    if isinstance(value, str):
        if not re.fullmatch(r"\w+|-?\d+(\.\d+)?(e[+-]?\d+)?", value, re.ASCII):
            raise refuse(f"the text {value[:80]!r} in an expression")
    elif not isinstance(value, bool | int | float) or abs(value) > _DIGITS:
        raise refuse(f"{str(value)[:80]} in an expression")


def guard(text: str) -> str:
    """A condition on sizes of inputs: `L['x'].size()[0] <= 8`."""
    for node in _nodes(text):
        if isinstance(node, ast.Call):
            func = node.func
            if not isinstance(func, ast.Attribute) or node.args or node.keywords:
                raise refuse(f"a call in the guard {text[:80]!r}")
        elif isinstance(node, ast.Attribute):
            if node.attr not in {"size", "stride", "storage_offset", "ndim"}:
                raise refuse(f"{node.attr[:80]!r} in a guard")
        elif isinstance(node, ast.Name):
            if node.id != "L":
                raise refuse(f"{node.id[:80]!r} in a guard")
        elif isinstance(node, ast.Constant):
            _check_constant(node.value)
        elif not isinstance(node, (*_ARITHMETIC, ast.Subscript)):
            raise refuse(f"the guard {text[:80]!r}")
    return text


def _nodes(text: str) -> list[ast.AST]:
    if len(text) > _LONGEST:
        raise refuse("an expression that is too long")
    try:
        return list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise refuse(f"the expression {text[:80]!r}") from error


def tree(text: str) -> str:
    """How inputs are nested: tuples, lists and dicts with names as keys."""
    for node in _nested(_root(text)):
        if node["type"] not in _TREES:
            raise refuse(f"inputs in a {str(node['type'])[:80]!r}", change=_NESTED)
        _check_keys(node["context"])
    return text


def flat(text: str) -> str:
    """How outputs are nested, as one tuple: their order is all that counts here.

    So a class of somebody's, such as the outputs of transformers, is neither looked up nor made.
    """
    nodes = list(_nested(_root(text)))
    for node in nodes:
        word(node["type"] or "")
        if node["type"] in _TREES:
            _check_keys(node["context"], names=False)
    leaves = [node for node in nodes if node["type"] is None]
    if leaves == nodes:  # the output itself, in nothing
        return text
    return json.dumps(
        [_PROTOCOL, {"type": "builtins.tuple", "context": "null", "children_spec": leaves}]
    )


def _root(text: str) -> Any:
    try:
        protocol, root = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise refuse("how its inputs are nested") from error
    if protocol != _PROTOCOL:
        raise refuse("how its inputs are nested")
    return root


def _nested(node: Any) -> Iterator[Mapping[str, Any]]:
    """A node and all below it, in their order; a leaf has no type and nothing else."""
    if not isinstance(node, Mapping) or set(node) != {"type", "context", "children_spec"}:
        raise refuse("how its inputs are nested")
    if node["type"] is None and (node["context"] is not None or node["children_spec"]):
        raise refuse("how its inputs are nested")
    yield node
    for child in node["children_spec"]:
        yield from _nested(child)


def _check_keys(context: Any, *, names: bool = True) -> None:
    keys = [] if context is None else json.loads(context)
    if keys is not None:
        for key in keys if isinstance(keys, list) else [keys]:
            if isinstance(key, str):
                if names:
                    word(key)
            elif type(key) is not int:
                raise refuse("keys of inputs or outputs that are no names", change=_NESTED)


_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "target": target,
    "as_operator": target,
    "as_string": _plain,
    "as_strings": _plain,
    "expr_str": expression,
    "guards_code": guard,
    "in_spec": tree,
    "out_spec": flat,
}
