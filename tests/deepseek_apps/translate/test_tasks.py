"""Tasks are drawn as asked, noise is repeatable, and batches lose no example."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_apps.translate.batching import cut, plan
from deepseek_apps.translate.feeding import Batches, tensors
from deepseek_apps.translate.noise import noised
from deepseek_apps.translate.options import Options
from deepseek_apps.translate.special import BEGIN, END, GAP, NOISED, PAD
from deepseek_apps.translate.tasks import Task, shares_of

ROWS = st.lists(st.integers(10, 99), min_size=1, max_size=30)


def task_of(sources: list[list[int]], name: str = "main", *, is_noised: bool = False) -> Task:
    return Task(name=name, tag=7, sources=sources, targets=sources, is_noised=is_noised)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=6), st.floats(0, 0.99))
def test_the_main_task_is_drawn_as_often_as_asked(sizes: list[int], main_share: float) -> None:
    shares = shares_of(sizes, Options(main_share=main_share))
    assert shares.sum() == pytest.approx(1)
    assert shares[0] >= main_share - 1e-9


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_temperature_draws_small_tasks_more_often_than_their_size(one: int, other: int) -> None:
    small, large = sorted((one, other))
    options = Options(main_share=0, temperature=5)
    assert shares_of([small, large], options)[0] >= small / (small + large) - 1e-9
    assert shares_of([small, large], attrs.evolve(options, temperature=1))[0] == pytest.approx(
        small / (small + large)
    )


@given(ROWS, st.integers(0, 99))
def test_noise_makes_nothing_new_and_leaves_something(row: list[int], seed: int) -> None:
    made = noised(row, np.random.default_rng(seed))
    assert 1 <= len(made) <= len(row)
    assert set(made) <= {*row, GAP}
    assert made == noised(row, np.random.default_rng(seed))


def test_noise_moves_a_piece_by_less_than_its_reach() -> None:
    row = list(range(100, 200))
    made = noised(row, np.random.default_rng(0))
    kept = [piece for piece in made if piece != GAP]
    ranks = sorted(kept)
    assert kept != ranks
    assert max(abs(kept.index(piece) - ranks.index(piece)) for piece in kept) <= 5


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40), st.integers(16, 120))
def test_batches_hold_each_example_once_and_no_more_tokens_than_asked(
    rows: list[list[int]], most: int
) -> None:
    task = task_of(rows)
    batches = cut([(0, number) for number in range(len(rows))], [task], most)
    assert sorted(example for batch in batches for example in batch) == [
        (0, number) for number in range(len(rows))
    ]
    for batch in batches:
        longest = max(len(rows[number]) + 1 for _, number in batch)
        assert len(batch) == 1 or len(batch) * longest <= most


def test_a_plan_is_that_of_its_seed_and_ends_with_the_main_task_alone() -> None:
    tasks = [task_of([[10] * n for n in range(1, 9)]), task_of([[11] * 5] * 50, "other")]
    options = Options(updates=40, batch_tokens=64, finish=0.25)
    made = plan(tasks, options, seed=3)
    assert len(made) == 40
    assert made == plan(tasks, options, seed=3) != plan(tasks, options, seed=4)
    assert {task for batch in made[:30] for task, _ in batch} == {0, 1}
    assert {task for batch in made[30:] for task, _ in batch} == {0}


def test_data_smaller_than_a_batch_fill_it_by_coming_again() -> None:
    made = plan([task_of([[10, 11]])], Options(updates=3, batch_tokens=64), seed=0)
    assert len(made) == 3
    assert all(1 <= len(batch) <= 21 and set(batch) == {(0, 0)} for batch in made)


def test_an_update_has_tags_noise_beginnings_and_ends_in_their_places() -> None:
    tasks = [task_of([[10, 11, 12]]), task_of([[20, 21]], "denoise", is_noised=True)]
    batches = Batches(tasks, [[(0, 0), (1, 0)]], seed=0)
    source, begun, ended = batches[0]
    assert source[0].tolist() == [7, 10, 11, 12, END]
    assert source[1, :2].tolist() == [7, NOISED]
    assert begun.tolist() == [[BEGIN, 10, 11, 12], [BEGIN, 20, 21, PAD]]
    assert ended.tolist() == [[10, 11, 12, END], [20, 21, END, PAD]]
    assert torch.equal(batches[0][0], source)


def test_rows_are_filled_up_at_their_ends() -> None:
    assert tensors([[7, END], [7, 9, END]], [[5], [6]])[0].tolist() == [[7, END, PAD], [7, 9, END]]
