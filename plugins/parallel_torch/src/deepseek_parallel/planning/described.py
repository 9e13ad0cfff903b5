"""Models and clusters out of what a TOML file says; the file is read elsewhere.

hidden = 4096                        [[group]]
layers = 32                          gpu = "a100-80g"          # or all figures of `Group`
heads = 32                           nodes = 8
sequence = 2048                      between = { bytes_per_s = 12.5e9, latency_s = 1e-5 }
vocabulary = 50304
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from deepseek_core import errors
from deepseek_parallel.planning.cluster import GPUS, Cluster, Group, Link
from deepseek_parallel.planning.model import MODELS, Transformer

_FIELDS = tuple(field.name for field in attrs.fields(Transformer))


def named_model(name: str) -> Transformer:
    """A model that is known.

    Raises:
        ConfigError: it is not.
    """
    return MODELS[_known(name, MODELS, "model")]


def model_of(described: Mapping[str, Any], where: str) -> Transformer:
    """The model that is described.

    Raises:
        ConfigError: a key that is unknown or missing.
        InputError: a figure that can't be.
    """
    _check_keys(described, _FIELDS, where)
    missing = [name for name in _FIELDS if name not in described]
    if missing:
        raise errors.ConfigError(
            f"{where} does not give the model's {', '.join(missing)}",
            remedy=f"add {missing[0]} = NUMBER there, or --{missing[0]} NUMBER",
        )
    return Transformer(**described)


def named_cluster(text: str) -> Cluster:
    """Nodes of known GPUs: `NAME:NODES,NAME:NODES`.

    Raises:
        ConfigError: a name that is unknown, or no number of nodes.
    """
    groups = []
    for part in text.split(","):
        name, _, nodes = part.partition(":")
        if not nodes.isdecimal():
            raise errors.ConfigError(
                f"the cluster {part!r} does not say how many nodes",
                remedy="write GPU:NODES, as a100-80g:8, or the path of a TOML file",
            )
        groups.append(attrs.evolve(GPUS[_known(name, GPUS, "GPU")], nodes=int(nodes)))
    return Cluster(groups=tuple(groups))


def cluster_of(described: Mapping[str, Any], where: str) -> Cluster:
    """The cluster that is described.

    Raises:
        ConfigError: a key that is unknown or missing, or a value of another kind.
        InputError: a figure that can't be.
    """
    _check_keys(described, ("group",), where)
    groups = described.get("group", [])
    if not isinstance(groups, list):
        raise errors.ConfigError(f"{where}: group is not a list", remedy="write [[group]]")
    return Cluster(
        groups=tuple(
            _group_of(group, f"{where}, group {number}") for number, group in enumerate(groups, 1)
        )
    )


def _group_of(described: Any, where: str) -> Group:
    keys = _table(described, where)
    fields = attrs.fields_dict(Group)
    _check_keys(keys, ("gpu", *fields), where)
    given: dict[str, Any] = {}
    if "gpu" in keys:
        known = GPUS[_known(keys.pop("gpu"), GPUS, "GPU")]
        given = {name: getattr(known, name) for name in fields}
    for name in ("inside", "between"):
        if name in keys:
            keys[name] = _link_of(keys[name], given.get(name), f"{where}, {name}")
    if not isinstance(keys.get("name", ""), str):
        raise errors.ConfigError(
            f"{where}, name is {keys['name']!r}", remedy='write it in quotes: name = "..."'
        )
    if "flops_per_s" in keys:
        keys["flops_per_s"] = _table(keys["flops_per_s"], f"{where}, flops_per_s")
    given |= keys
    missing = [n for n, f in fields.items() if n not in given and f.default is attrs.NOTHING]
    if missing:
        raise errors.ConfigError(
            f"{where} does not give {', '.join(missing)}",
            remedy=f"add them, or begin with a known GPU: gpu = {next(iter(GPUS))!r}",
        )
    return Group(**given)


def _link_of(described: Any, known: Link | None, where: str) -> Link:
    keys = _table(described, where)
    names = ("bytes_per_s", "latency_s")
    _check_keys(keys, names, where)
    given = ({} if known is None else attrs.asdict(known)) | keys
    missing = [name for name in names if name not in given]
    if missing:
        raise errors.ConfigError(
            f"{where} does not give {', '.join(missing)}", remedy=f"add {missing[0]} = NUMBER"
        )
    return Link(**given)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise errors.ConfigError(
            f"{where} is {value!r}, which is not a table", remedy="write { key = value, ... }"
        )
    return dict(value)


def _check_keys(described: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in described:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            raise errors.ConfigError(
                f"{where} has an unknown key {key!r}",
                remedy=f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}",
            )


def _known(name: Any, known: Mapping[str, Any], what: str) -> str:
    if isinstance(name, str) and name in known:
        return name
    close = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise errors.ConfigError(
        f"{name!r} is not a known {what}",
        remedy=f"{hint}known: {', '.join(known)}; or give the path of a TOML file",
    )
