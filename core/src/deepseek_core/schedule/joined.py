"""Stages that follow each other on one device, and so can run as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def units(names: Sequence[str], devices: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Stages, in topological order, that follow each other on one device and run as one.

    Neighbors in such an order can be joined: nothing lies between them.
    """
    found: list[tuple[str, ...]] = []
    for name in names:
        if found and devices[found[-1][-1]] == devices[name]:
            found[-1] = (*found[-1], name)
        else:
            found.append((name,))
    return found


def unit_name(names: Sequence[str]) -> str:
    """`convolution + matching`: what several stages are called that run as one."""
    return " + ".join(names)
