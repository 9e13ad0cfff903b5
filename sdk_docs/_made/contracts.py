"""The contracts: records as tables of their fields, classes by mkdocstrings."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any, Final

import attrs
import examples

import deepseek_core
from deepseek_core.contracts import compression, place
from deepseek_core.runtime import applications, training
from deepseek_core.runtime.calibration import Measurement
from deepseek_core.runtime.comparison import Comparison, Row
from deepseek_core.runtime.result import Result
from deepseek_core.schedule.problem import Candidate, Crossover, Placement, Problem, StageOptions

# heading -> names of the public API
GROUPS: Final = {
    "What plugins are told": ("HostContext",),
    "Devices": (
        "DeviceSpec", "DeviceInfo", "Device", "Executable", "BoundCall", "Support",
        "Estimate", "Concurrency", "OpenOptions", "LoadOptions",
    ),
    "Graphs and tensors": (
        "Graph", "Batching", "Stage", "Operation", "Work", "Task", "TensorSpec", "HostTensor",
        "as_array", "Artifact", "Workload", "LatencyClass",
    ),
    "Frontends": ("FrontendSpec", "Frontend", "ReadOptions"),
    "Storage tiers": ("TierSpec", "Tier", "TierProfile", "ObjectStat"),
    "Strategies": ("StrategySpec", "Strategy", "Mesh"),
    "Compressors": ("CompressorSpec", "Compressor", "Packed", "OpenedCompressor"),
    "Executors": ("ExecutorSpec", "Executor"),
    "Commands": ("CommandSpec",),
    "Applications": ("ApplicationSpec",),
    "Checks": ("CheckSpec", "Finding"),
    "Settings": ("Secret",),
    "Telling what happens": ("emit",),
}  # fmt: skip
PLACES: Final = (
    place.Place, place.PlaceOptions, place.DeviceOffer, place.Link, place.RemoteTensor,
    place.TimedOutputs,
)  # fmt: skip
TRAINING: Final = (
    training.Profile, training.Layer, training.TrainingPlan, training.Ranking, training.SplitModel,
    training.Cluster, training.Group, training.Link,
)  # fmt: skip
LAUNCHERS: Final = (
    training.Launcher, training.LaunchNode, training.Command, training.Started,
    training.CommandState,
)  # fmt: skip
APPLICATIONS: Final = (
    applications.Application, applications.ApplicationContext, applications.DataCard,
    applications.Evaluation, applications.Score, applications.Measure, applications.Difference,
    applications.Curve, applications.Offer, applications.OpenedApplication,
    applications.OptionField,
)  # fmt: skip
# Given back by a session; not exported, since nobody makes them.
PLANS: Final = (
    Result, Measurement, Comparison, Row, Placement, Problem, StageOptions, Candidate, Crossover,
)  # fmt: skip
# Documented on pages of their own.
ELSEWHERE: Final = {
    "DeepSeekError",
    "Plan",
    "Rules",
    "Server",
    "Session",
    "applications",
    "compression",
    "console",
    "errors",
    "events",
    "hookimpl",
    "hooks",
    "open_compressor",
    "open_tier",
    "places",
    "training",
}


def plans() -> str:
    """What a session gives back."""
    return "\n\n".join(map(section, PLANS))


def page() -> str:
    """Every group of public names."""
    parts = []
    for title, names in GROUPS.items():
        present = [name for name in names if name in deepseek_core.__all__]
        if present:
            parts += [f"## {title}", *(section(getattr(deepseek_core, n)) for n in present)]
    parts += ["## Places of executors", "In the module `deepseek_core.places`."]
    parts += map(section, PLACES)
    parts += ["## Plans of a training", "In the module `deepseek_core.training`."]
    parts += map(section, TRAINING)
    parts += ["## Launchers of executors", "In the module `deepseek_core.training`."]
    parts += map(section, LAUNCHERS)
    parts += ["## Jobs of applications", "In the module `deepseek_core.applications`."]
    parts += map(section, APPLICATIONS)
    parts += ["## Compression of models", "In the module `deepseek_core.compression`."]
    parts += [section(getattr(compression, name)) for name in compression.__all__]
    return "\n\n".join(parts)


def section(item: type) -> str:
    """A record's docstring, fields and methods; of another class what mkdocstrings makes of it."""
    name = f"{item.__module__}.{item.__name__}"
    place = examples.where(item.__name__)
    example = [f"Example: [`{item.__name__}`]({place.link})."] if place else []
    if not attrs.has(item):
        return "\n\n".join([f"::: {name}", *example])
    rows = [f"| `{a.name}` | `{_type(item, a)}` | {_default(a)} |" for a in _fields(item)]
    table = "\n".join(["| field | type | default |", "|---|---|---|", *rows])
    heading = f"### {item.__name__} {{ #{name} }}"
    methods = [f"::: {name}.{n}\n    options:\n      heading_level: 4" for n in _methods(item)]
    return "\n\n".join([heading, inspect.getdoc(item) or "", *example, table, *methods])


def _fields(item: type) -> list[attrs.Attribute[Any]]:
    return [field for field in attrs.fields(item) if not field.name.startswith("_")]


def _methods(item: type) -> list[str]:
    kinds = (property, classmethod, staticmethod, cached_property)
    mine = {n: v for n, v in vars(item).items() if not n.startswith("_")}
    return [n for n, v in mine.items() if inspect.isfunction(v) or isinstance(v, kinds)]


def _type(item: type, field: attrs.Attribute[Any]) -> str:
    return str(inspect.get_annotations(item).get(field.name, field.type)).replace("|", "\\|")


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    factory = getattr(field.default, "factory", None)
    value = factory() if factory is not None else field.default
    return f"`{value!r}`"
