"""Small models of every kind that ONNX Runtime runs: the SDK runs them, and says the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus_kit.case import Refused
from corpus_kit.reference import open_session
from corpus_kit.subject import Subject
from corpus_kit.ways import WAYS
from small_models import CASES, refused

from deepseek_core import Plan, Session, errors

_BY_NAME = {case.name: case for case in CASES}


def test_each_case_has_a_name_of_its_own_and_a_note():
    assert len(_BY_NAME) == len(CASES) >= 60
    assert all(case.note.strip() for case in CASES)


each_case = pytest.mark.parametrize("subject", CASES, ids=_BY_NAME, indirect=True)


@pytest.mark.parametrize("way", WAYS)
@each_case
def test_the_sdk_says_what_onnx_runtime_says(subject: Subject, way: str):
    WAYS[way](subject)


@each_case
def test_onnx_runtime_alone_says_the_same_again(subject: Subject):
    subject.check_that_it_repeats()


@each_case
def test_items_said_to_be_apart_are_so_in_onnx_runtime(subject: Subject):
    subject.check_that_items_are_apart()


each_refused = pytest.mark.parametrize("case", refused.CASES, ids=lambda case: case.name)


@each_refused
def test_onnx_runtime_refuses_it_with_that_reason(case: Refused, tmp_path: Path):
    path = case.place(tmp_path)
    with pytest.raises(Exception, match=case.says):
        open_session(path).run(None, case.inputs)
    if case.inputs is not None:
        open_session(path)  # it is the call that is refused


@each_refused
def test_the_sdk_refuses_it_with_that_reason(case: Refused, session: Session, tmp_path: Path):
    path = case.place(tmp_path)
    with pytest.raises(errors.DeepSeekError, match=case.says), opened(session, path) as plan:
        if case.inputs is not None:
            plan.run(case.inputs)


@contextlib.contextmanager
def opened(session: Session, path: Path) -> Iterator[Plan]:
    with session.plan(session.load(path)) as plan:
        plan.warmup()
        yield plan
