"""Each operator with a rule is proven in a case that holds in runs, and not where it mixes."""

from __future__ import annotations

import pytest
from batch_cases import NEVER_PROVEN, NOT_RUN, PROVEN
from batch_mixing import MIXING
from batch_runs import violations
from batch_text import case, feeds

from deepseek_onnx.batching import PROVEN as IS_PROVEN
from deepseek_onnx.batching import prove
from deepseek_onnx.batching.rules import RULES

ITEMS = 5


def operators(lines):
    """Domain and name of every node of the models."""
    return {(n.domain, n.op_type) for line in lines for n in case(line).model.graph.node}


@pytest.mark.parametrize("line", PROVEN)
def test_a_case_is_proven_and_holds_in_runs(line):
    found = case(line)
    verdict = prove(found.model, fixed=found.fixed)
    assert (verdict.symbol, verdict.reason) == ("N", IS_PROVEN)
    if not any(name in line for name in NOT_RUN):
        assert list(violations(found.model, verdict, feeds(found.model, ITEMS))) == []


@pytest.mark.parametrize(("line", "reason"), MIXING.items())
def test_a_case_that_mixes_is_not_proven(line, reason):
    found = case(line)
    verdict = prove(found.model, fixed=found.fixed)
    assert (verdict.symbol, verdict.axes, verdict.reason) == (None, {}, reason)


def test_every_rule_has_a_case_that_is_proven_or_never_is():
    ruled = {(domain, name) for domain, rules in RULES.items() for name in rules}
    assert ruled - operators(PROVEN) == NEVER_PROVEN
    assert operators(MIXING) >= NEVER_PROVEN
