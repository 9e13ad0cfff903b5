"""A plan that counts with a device that is not there says so, to people and to scripts."""

import attrs
import plain_devices
import pytest
from plain_graphs import diamond
from plain_sessions import plain_session

from deepseek_core import Concurrency, Estimate
from deepseek_core.schedule.explain import as_json, as_text
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions


def candidate(device, seconds, evidence):
    estimate = Estimate(seconds=seconds, sigma=0.1, source="model")
    return Candidate(device_id=device, estimate=estimate, evidence=evidence)


def problem(modeled_s):
    candidates = candidate("board", modeled_s, "model"), candidate("here", 2.0, "hardware")
    return Problem(
        stages=(StageOptions(name="match", candidates=candidates),),
        concurrency={"board": Concurrency(), "here": Concurrency()},
        host_cores=2,
        objective=Objective.MAKESPAN,
    )


def test_a_plan_on_a_modeled_device_says_so():
    made = problem(1.0)
    placement = place(made)
    assert placement.devices == {"match": "board"}
    text, told = as_text(made, placement, {}), as_json(made, placement, {})
    line = next(line for line in text.splitlines() if "board" in line and "90 %" in line)
    assert "evidence: model" in line
    said = "evidence of board: model; it was not measured on a device"
    assert said in text
    assert said in told["summary"]
    evidence = {c["device"]: c["evidence"] for c in told["stages"][0]["candidates"]}
    assert evidence == {"board": "model", "here": "hardware"}


def test_a_plan_that_only_looked_at_one_says_so_beside_it_alone():
    made = problem(3.0)
    text = as_text(made, place(made), {})
    assert text.count("evidence: model") == 1
    assert "was not measured on a device" not in text


@pytest.fixture
def modeled(monkeypatch):
    real = plain_devices.info
    monkeypatch.setattr(
        plain_devices,
        "info",
        lambda i: attrs.evolve(real(i), evidence="model") if "board" in i else real(i),
    )


def test_a_session_hands_the_evidence_of_its_devices_on(tmp_path, modeled):
    with (
        plain_session(tmp_path, "slow-board", "simple") as session,
        session.plan(diamond()) as plan,
    ):
        stages = plan.to_json()["stages"]
        said = {c["device"]: c["evidence"] for stage in stages for c in stage["candidates"]}
        assert said == {"slow-board": "model", "simple": "hardware"}


def test_devices_that_a_caller_leaves_out_come_in_their_own_order(tmp_path):
    names = [f"plain-{i}" for i in range(9)]
    with plain_session(tmp_path, *names) as session:
        session._pool.limit(["plain-4"])
        assert list(session._pool.why_out()) == [name for name in names if name != "plain-4"]
