"""`ds-sdk profile` as a person and a script see it."""

import json
import lzma

import pytest
from page_rules import faults
from timelines import TRACES

from deepseek_core import errors
from deepseek_observe.cli.profile_command import main

ALEXNET = str(TRACES / "a100_alexnet_h2d.json.gz")
RANK0 = str(TRACES / "128rank_sampled_rank0.json.gz")


def test_a_person_reads_what_costs_most_first(capsys):
    assert main([RANK0]) == 0
    out = capsys.readouterr().out
    assert "bound by idle" in out
    assert out.index("1. up to 336 ms (27.5%)") < out.index("2. up to 312 ms (25.5%)")
    assert "Optimizer.step#Shampoo.step" in out


def test_json_has_all_and_adds_up(capsys):
    assert main([RANK0, "--json"]) == 0
    (trace,) = json.loads(capsys.readouterr().out)["traces"]
    (device,) = trace["devices"]
    shares = device["shares"]
    parts = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
    assert sum(shares[part] for part in parts) == shares["span_ns"]
    assert sum(device["idle"].values()) == shares["idle_ns"]
    assert [one["recoverable_ns"] for one in trace["findings"]] == sorted(
        (one["recoverable_ns"] for one in trace["findings"]), reverse=True
    )
    assert trace["rank"] == 0


def test_the_page_keeps_the_rules_of_all_pages(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main([RANK0, "--diff", ALEXNET, "--html", str(page)]) == 0
    text = page.read_text()
    assert faults(text) == []
    assert "Compared with" in text
    assert "exposed communication" in text
    assert len(text) < 80_000
    assert "+" in capsys.readouterr().out


def test_figures_of_another_tool_by_its_rules(capsys):
    assert main([ALEXNET, "--rules", "hta-0.5"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["traces"].values()
    assert found["temporal"]["compute_time(us)"] == 10637


def test_several_kinds_of_traces_at_once(tmp_path, capsys):
    export = tmp_path / "mock.sqlite"
    export.write_bytes(lzma.decompress((TRACES / "nsys_mock.sqlite.xz").read_bytes()))
    assert main([ALEXNET, str(export), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["traces"]
    assert [one["facts"]["format"] for one in found] == ["kineto", "nsys"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([ALEXNET, "--rules", "hta-0.5", "--window", "x"], "its figures alone"),
        ([ALEXNET, RANK0, "--diff", RANK0], "compares two traces"),
        ([ALEXNET, "--window", "nowhere"], "no range 'nowhere'"),
        ([ALEXNET, "--html", "/nowhere/at/all.html"], "nowhere"),
    ],
)
def test_what_does_not_go_together_is_told(words, told):
    with pytest.raises(errors.ConfigError, match=told):
        main(words)
