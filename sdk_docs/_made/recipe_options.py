"""The steps of recipes with their options, read off the records and option classes."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import attrs

from deepseek_compress import hooks as compress
from deepseek_core import CompressorSpec, HostContext
from deepseek_trt import hooks as trt


def page() -> str:
    """A section for each step: what it takes and needs, then a table of its options."""
    context = HostContext(core_version="", api=(1, 1))
    specs = [
        *compress.ds_register_compressors(context),
        *trt.ds_register_compressors(context),
    ]
    return "\n\n".join(map(_section, specs))


def _section(spec: CompressorSpec) -> str:
    kind = options_of(spec)
    rows = [f"| `{f.name}` | {_type(kind, f)} | {_default(f)} |" for f in attrs.fields(kind)]
    gives = f", gives `{spec.gives}`" if spec.gives else ""
    facts = [f"takes `{spec.takes}`{gives}", f"needs {', '.join(spec.needs)}" if spec.needs else ""]
    facts += [f"provides {', '.join(spec.provides)}" if spec.provides else ""]
    told = "; ".join(filter(None, facts))
    table = "\n".join(["| option | type | default |", "|---|---|---|", *rows])
    about = inspect.getdoc(kind) or ""
    return f"### {spec.name}\n\n{spec.summary} ({told}).\n\n{about}\n\n{table}"


def options_of(spec: CompressorSpec) -> type[Any]:
    """The class of a step's options."""
    assert spec.options is not None
    module, _, name = spec.options.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def _type(kind: type[Any], field: attrs.Attribute[Any]) -> str:
    text = str(inspect.get_annotations(kind).get(field.name, field.type))
    return f"`{text}`".replace("|", "\\|")


def _default(field: attrs.Attribute[Any]) -> str:
    return "required" if field.default is attrs.NOTHING else f"`{field.default!r}`"
