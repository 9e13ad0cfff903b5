"""Clusters and trees of switches, as `ds-sdk train plan` writes clusters."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import errors, training
from deepseek_observe.advise.fat_tree import FatTree, Tier, k_port
from deepseek_observe.advise.hardware.catalogue import DEVICES
from deepseek_observe.advise.topology.opening import read_text

_MOST_NBYTES: Final = 1 << 20
_K_PORT: Final = ("ports", "host_bits_per_s", "edge_bits_per_s", "core_bits_per_s", "rails")


def read_cluster(text: str) -> training.Cluster:
    """`GPU:NODES,GPU:NODES`, or the path of a TOML file with [[group]].

    Raises:
        ConfigError: a name or key that is unknown or missing.
        InputError: a figure that can't be.
        ArtifactError: the file can't be read.
    """
    path = Path(text)
    if path.suffix == ".toml" or path.is_file():
        return _cluster_of(_read_toml(path), text)
    groups = []
    for part in text.split(","):
        name, _, nodes = part.partition(":")
        if not nodes.isdecimal() or not 0 < len(nodes) < 7 or int(nodes) < 1:
            raise errors.ConfigError(
                f"the cluster {part!r} does not say how many nodes",
                remedy="write GPU:NODES, as a100-80g:8, or the path of a TOML file",
            )
        groups.append(DEVICES[_known(name)].group(int(nodes)))
    return training.Cluster(groups=tuple(groups))


def read_tree(path: Path) -> FatTree:
    """A TOML file with [[tier]], or with the `ports` of equal switches.

    Raises:
        ConfigError: a key that is unknown or missing.
        InputError: figures that can't be, or do not meet.
        ArtifactError: the file can't be read.
    """
    told = _read_toml(path)
    where = str(path)
    _check_keys(told, ("tier", *_K_PORT), where)
    if "ports" in told:
        _check_keys(told, _K_PORT, where)
        _check_given(told, ("host_bits_per_s",), where)
        return k_port(told.pop("ports"), **told)
    _check_keys(told, ("tier", "rails"), where)
    tiers = told.get("tier", [])
    names = tuple(field.name for field in attrs.fields(Tier))
    made = []
    for number, tier in enumerate(tiers if isinstance(tiers, list) else [], 1):
        place = f"{where}, tier {number}"
        _check_keys(_table(tier, place), names, place)
        _check_given(tier, ("name", "switches", "down", "down_bits_per_s"), place)
        made.append(Tier(**tier))
    rails = told.get("rails", 1)
    if isinstance(rails, bool) or not isinstance(rails, int) or not 1 <= rails <= 64:
        raise errors.ConfigError(f"{where}: rails is {rails!r}", remedy="write rails = 8")
    if not made:
        raise errors.ConfigError(
            f"{where} describes no tree of switches",
            remedy="write ports = 64 and host_bits_per_s = 100e9, or a [[tier]] for each",
        )
    return FatTree(tiers=tuple(made), rails=rails)


def _cluster_of(told: Mapping[str, Any], where: str) -> training.Cluster:
    _check_keys(told, ("group",), where)
    groups = told.get("group", [])
    if not isinstance(groups, list):
        raise errors.ConfigError(f"{where}: group is not a list", remedy="write [[group]]")
    return training.Cluster(
        groups=tuple(
            _group_of(group, f"{where}, group {number}") for number, group in enumerate(groups, 1)
        )
    )


def _group_of(told: Any, where: str) -> training.Group:
    keys = dict(_table(told, where))
    fields = attrs.fields_dict(training.Group)
    _check_keys(keys, ("gpu", *fields), where)
    given: dict[str, Any] = {}
    if "gpu" in keys:
        known = DEVICES[_known(keys.pop("gpu"))].group(1)
        given = {name: getattr(known, name) for name in fields}
    for name in ("inside", "between"):
        if name in keys:
            link = dict(_table(keys[name], f"{where}, {name}"))
            _check_keys(link, ("bytes_per_s", "latency_s"), f"{where}, {name}")
            begun = attrs.asdict(given[name]) if name in given else {}
            _check_given(begun | link, ("bytes_per_s", "latency_s"), f"{where}, {name}")
            keys[name] = training.Link(**(begun | link))
    given |= keys
    wanted = tuple(name for name, field in fields.items() if field.default is attrs.NOTHING)
    _check_given(given, wanted, where)
    if not isinstance(given["flops_per_s"], Mapping) or not isinstance(given["name"], str):
        raise errors.ConfigError(
            f"{where}: flops_per_s or name is of another kind",
            remedy='write name = "...", flops_per_s = { bf16 = 312e12 }',
        )
    return training.Group(**given)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, _MOST_NBYTES))
    except tomllib.TOMLDecodeError as error:
        raise errors.ArtifactError(
            f"{path} is broken TOML: {error}", remedy="fix the line that it names"
        ) from error


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise errors.ConfigError(
            f"{where} is {value!r}, which is not a table", remedy="write { key = value, ... }"
        )
    return value


def _check_keys(told: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in told:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            raise errors.ConfigError(
                f"{where} has an unknown key {key!r}",
                remedy=f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}",
            )


def _check_given(told: Mapping[str, Any], wanted: tuple[str, ...], where: str) -> None:
    missing = [name for name in wanted if name not in told]
    if missing:
        raise errors.ConfigError(
            f"{where} does not give {', '.join(missing)}", remedy=f"add {missing[0]} = ..."
        )


def _known(name: Any) -> str:
    if isinstance(name, str) and name in DEVICES:
        return name
    close = get_close_matches(str(name), DEVICES, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise errors.ConfigError(
        f"{name!r} is not a known GPU",
        remedy=f"{hint}known: {', '.join(DEVICES)}; or give all its figures in a TOML file",
    )
