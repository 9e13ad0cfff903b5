"""Models out of packages of the public index: the SDK says what ONNX Runtime says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from corpus_kit.subject import Subject
from corpus_kit.ways import WAYS
from real_models.manifest import CASES
from real_models.packages import PACKAGES

REQUIREMENTS = Path(__file__).parents[2] / "requirements-corpus.txt"
_BY_NAME = {case.name: case for case in CASES}


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


def test_the_corpus_is_as_wide_as_promised():
    assert len(_BY_NAME) == len(CASES) >= 24
    assert len({case.origin for case in CASES}) >= 10
    domains = {"speech", "ocr", "text", "tabular", "detection", "embedding", "quantized"}
    assert domains <= {case.kind for case in CASES}


def test_each_package_is_used_and_known():
    assert {case.origin for case in CASES} == set(PACKAGES)


def test_the_requirements_pin_what_the_manifest_names():
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = dict(re.split("==", line) for line in lines if line and not line.startswith("#"))
    assert pins == {p.name: p.version for p in PACKAGES.values() if p.version}


def test_no_license_restricts_the_use():
    allowed = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0"}
    texts = [text for p in PACKAGES.values() for text in (p.license, p.model_license) if text]
    assert {word for text in texts for word in text.split(" AND ")} <= allowed


def test_most_packages_carry_few_models():
    assert max(Counter(case.origin for case in CASES).values()) <= len(CASES) / 4
