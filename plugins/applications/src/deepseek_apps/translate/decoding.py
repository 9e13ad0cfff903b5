"""Greedy search in eager PyTorch, with keys and values kept from token to token.

This is what the exported files are held against. Legend: B texts, S tokens of the source.
"""
# ruff: noqa: N806 - shapes by the legend

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

from deepseek_apps.translate.feeding import padded
from deepseek_apps.translate.model import Pair, Translator
from deepseek_apps.translate.special import BEGIN, END
from deepseek_apps.translate.tasks import Row

Past: TypeAlias = list[Pair]


def greedy(model: Translator, sources: Sequence[Row], most: int) -> list[Row]:
    """The likeliest token after each other, until the end or `most` tokens; ends are left out.

    There is at least one token, as CTranslate2 has it. Texts that have ended are computed no more.
    """
    model.eval()
    with torch.inference_mode():
        return _greedy(model, sources, most)


def _greedy(model: Translator, sources: Sequence[Row], most: int) -> list[Row]:
    source_BS = padded(sources)
    memory, mask = model.encode(source_BS)
    keys, past = model.keys(memory), None
    rows: list[Row] = [[] for _ in sources]
    alive = torch.arange(len(sources))
    tokens = torch.full((len(sources), 1), BEGIN)
    for made in range(most):
        states, past = model.step(tokens, keys, mask, past)
        logits = model.project(states[:, -1])
        if not made:
            logits[:, END] = -torch.inf
        chosen = logits.argmax(-1)
        kept = chosen != END
        if not bool(kept.all()):
            alive, chosen, mask = alive[kept], chosen[kept], mask[kept]
            keys, past = _chosen(keys, kept), _chosen(past, kept)
        if not len(alive):
            break
        for place, token in zip(alive.tolist(), chosen.tolist(), strict=True):
            rows[place].append(token)
        tokens = chosen[:, None]
    return rows


def _chosen(pairs: Past, which: torch.Tensor) -> Past:
    return [(key[which], value[which]) for key, value in pairs]


def greedy_in_batches(
    model: Translator, sources: Sequence[Row], most: int, batch: int = 64
) -> list[Row]:
    """`greedy` of many texts: those of like length together, answers in the given order."""
    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
    rows: list[Row] = [[] for _ in sources]
    for begin in range(0, len(order), batch):
        numbers = order[begin : begin + batch]
        found = greedy(model, [sources[number] for number in numbers], most)
        for number, row in zip(numbers, found, strict=True):
            rows[number] = row
    return rows
