"""The public face as text: every exported name with its signature, fields and methods.

`python tests/deepseek_core/public_api.py` writes it to `public_api.txt`.
"""

import enum
import inspect
import sys
from pathlib import Path

import attrs

import deepseek_core
from deepseek_core import errors, events, hooks, places
from deepseek_core.discovery.hooks import HOOK_NAMES
from deepseek_core.discovery.scan import API

SNAPSHOT = Path(__file__).with_suffix(".txt")
COMMAND = "python tests/deepseek_core/public_api.py"


def described():
    """The whole face, one name after the other."""
    names = [name for name in deepseek_core.__all__ if not _is_module(name)]
    lines = [f"API {API[0]}.{API[1]}", ""]
    for name in names:
        lines += [*_lines(name, getattr(deepseek_core, name)), ""]
    lines += ["module hooks", *(f"    {_signature(n, getattr(hooks, n))}" for n in HOOK_NAMES), ""]
    for title, module in (("errors", errors), ("events", events), ("places", places)):
        lines.append(f"module {title}")
        for name, value in _classes(module):
            lines += [f"    {line}" for line in _lines(name, value)]
        lines.append("")
    return "\n".join(lines)


def _is_module(name):
    return name in deepseek_core._MODULES


def _classes(module):
    return [
        (name, value)
        for name in (module.__dir__() if "__dir__" in vars(module) else tuple(vars(module)))
        if inspect.isclass(value := getattr(module, name))
        and value.__module__.startswith(module.__name__)
    ]


def _lines(name, value):
    if not inspect.isclass(value):
        return [_signature(name, value)]
    bases = ", ".join(b.__name__ for b in value.__bases__ if b is not object)
    return [f"class {name}({bases})" if bases else f"class {name}", *_members(value)]


def _members(cls):
    if issubclass(cls, enum.Enum):
        return [f"    {member.name} = {member.value!r}" for member in cls]
    lines = _fields(cls) if attrs.has(cls) else _variables(cls)
    for name, value in sorted(vars(cls).items()):
        lines += _member(name, value)
    return [f"    {line}" for line in lines]


def _fields(cls):
    fields = {field.name: _field(field) for field in attrs.fields(cls)}
    # What is cached with slots is no property any more: attrs leaves its annotation only.
    more = {n: t for n, t in inspect.get_annotations(cls).items() if n not in fields}
    cached = [f"{n} -> {t}  [property]" for n, t in more.items() if _is_public(n)]
    return [*fields.values(), *cached]


def _field(field):
    default = "..." if isinstance(field.default, attrs.Factory) else _value(field.default)
    text = f"{field.name.lstrip('_')}: {field.type}"
    return text if field.default is attrs.NOTHING else f"{text} = {default}"


def _variables(cls):
    lines = [f"{n}: {t}" for n, t in inspect.get_annotations(cls).items() if _is_public(n)]
    own = vars(cls).get("__init__")
    return [*lines, _signature("__init__", own)] if own else lines


def _member(name, value):
    if not _is_public(name) and name != "__call__":
        return []
    getter = value.fget if isinstance(value, property) else getattr(value, "func", None)
    if getter is not None:
        return [f"{name} -> {inspect.signature(getter).return_annotation}  [property]"]
    if isinstance(value, classmethod):
        return [f"{_signature(name, value.__func__)}  [classmethod]"]
    if not inspect.isfunction(value):
        return []
    abstract = "  [abstract]" if getattr(value, "__isabstractmethod__", False) else ""
    return [_signature(name, value) + abstract]


def _is_public(name):
    return not name.startswith("_")


def _signature(name, function):
    """As the source has it: annotations are strings there, which `inspect` would quote."""
    signature = inspect.signature(function)
    parts, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        parts.append(_parameter(parameter))
    return f"{name}({', '.join(parts)}) -> {signature.return_annotation}"


def _parameter(parameter):
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {parameter.annotation}"
    return text if parameter.default is parameter.empty else f"{text} = {_value(parameter.default)}"


def _value(default):
    if isinstance(default, enum.Enum):
        return str(default.__class__.__name__) + "." + default.name
    return default.__name__ if inspect.isfunction(default) else repr(default)


if __name__ == "__main__":
    SNAPSHOT.write_text(described(), encoding="utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\n")
