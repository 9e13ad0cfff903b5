"""The figures of HolisticTraceAnalysis 0.5.0, to the microsecond."""

import json

import pytest
from timelines import TRACES

from deepseek_observe.profile.hta import figures
from deepseek_observe.reading.reading import read_trace

WANTED = json.loads((TRACES / "hta_0.5.0.json").read_text())


@pytest.mark.parametrize("name", sorted(WANTED))
def test_figures_by_its_rules_are_its_figures(name):
    wanted, found = WANTED[name], figures(read_trace(TRACES / f"{name}.json.gz"))
    assert found["temporal"] == wanted["temporal"]
    assert found["overlap"] == (
        None if wanted["overlap"] is None else pytest.approx(wanted["overlap"], abs=0.006)
    )
    assert {row["kernel_type"]: row["sum"] for row in found["kernel_types"]} == (
        wanted["kernel_types"]
    )
    assert sorted([row[key] for key in ("stream", "idle_category", "idle_time")]
                  for row in found["idle"]) == sorted(wanted["idle"])  # fmt: skip


def test_a_trace_without_a_device_has_no_figures():
    found = figures(read_trace(TRACES / "cpu_only_gloo_rank34.json.gz"))
    assert found == {"temporal": None, "overlap": None, "kernel_types": [], "idle": []}
