"""Reports of aoc and Vitis are read in their own formats; garbage is named, never guessed at."""

import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fpga.proof.reports import aoc, vitis
from deepseek_fpga.proof.reports.facts import number
from deepseek_fpga.proof.reports.read import check_reports, read_reports

FOLDER = Path(__file__).parent / "reports"
PARSERS = {
    "acl_quartus_report.txt": aoc.parse_fitter,
    "report_data.js": aoc.parse_compiler,
    "summary.ndjson": aoc.parse_compiler,
    "matcher_csynth.xml": vitis.parse_csynth,
    "system_estimate.xtxt": vitis.parse_system_estimate,
    "matcher.xclbin.info": vitis.parse_binary_info,
}


def facts(name):
    return PARSERS[name]((FOLDER / name).read_text(), name)


def test_the_fitter_tells_its_clock_and_cells():
    found = facts("acl_quartus_report.txt")
    assert found.fitted
    assert found.clock_mhz == 287.35
    assert found.used["Registers"] == 90412
    assert found.used["Logic utilization"] == 71390
    assert found.available["Logic utilization"] == 427200
    assert found.available["RAM blocks"] == 2713
    assert "ALUTs" not in found.available


@pytest.mark.parametrize("name", ["report_data.js", "summary.ndjson"])
def test_the_compiler_of_intel_tells_the_total(name):
    found = facts(name)
    assert not found.fitted
    assert found.used == {"ALUTs": 61044, "FFs": 90412, "RAMs": 412, "DSPs": 0, "MLABs": 44}
    assert found.available["FFs"] == 1708800


def test_the_slowest_loop_counts():
    assert facts("report_data.js").interval == 2
    assert facts("summary.ndjson").interval is None


def test_high_level_synthesis_tells_periods_as_clocks():
    found = facts("matcher_csynth.xml")
    assert found.clock_mhz == pytest.approx(411.0, abs=0.1)
    assert found.target_mhz == pytest.approx(300.3, abs=0.1)
    assert found.interval is None, "undef is not a number"
    assert (found.used["LUT"], found.available["LUT"]) == (40318, 1728000)


def test_the_system_estimate_tells_the_slowest_module_and_the_kernel_alone():
    found = facts("system_estimate.xtxt")
    assert found.clock_mhz == pytest.approx(366.83786)
    assert found.target_mhz == 300
    assert found.interval == 3052
    assert found.used == {"FF": 31204, "LUT": 40318, "DSP": 0, "BRAM": 60, "URAM": 0}


@pytest.mark.parametrize(
    ("text", "clock", "target"),
    [
        ("   Frequency: 287 MHz\n", 287, None),
        ("   Requested Freq: 300 MHz\n   Achieved Freq:  287.5 MHz\n", 287.5, 300),
    ],
)
def test_both_ways_to_print_a_binary_s_clock(text, clock, target):
    found = vitis.parse_binary_info(f"xclbin Information\n{text}", "a.xclbin.info")
    assert (found.clock_mhz, found.target_mhz) == (clock, target)


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize(
    "text", ["", "garbage", "\0\1\2", "{", "<profile>", "var x = {", "[" * 5000]
)
def test_garbage_is_named(name, text):
    with pytest.raises(errors.ArtifactError, match=r"is no report|entities") as caught:
        PARSERS[name](text, name)
    assert name in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("name", PARSERS)
@given(cut=st.integers(0, 3000), junk=st.text(max_size=9))
def test_a_report_that_ends_early_is_read_or_named(name, cut, junk):
    text = (FOLDER / name).read_text()
    with contextlib.suppress(errors.ArtifactError):
        PARSERS[name](text[: min(cut, len(text))] + junk, name)


def test_xml_with_entities_is_refused():
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><profile>&b;</profile>'
    with pytest.raises(errors.ArtifactError, match="entities"):
        vitis.parse_csynth(bomb, "x_csynth.xml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,299 / 1,518 ( 86 % )", 1299), ("undef", None), ("", None), (None, None), (True, None)],
)
def test_numbers_as_the_tools_print_them(text, value):
    assert number(text) == value


def test_a_folder_s_reports_become_figures_with_their_basis():
    result = check_reports("hamming", FOLDER)
    assert result.state == "holds", result.why
    texts = [figure.text for figure in result.figures]
    assert "clock 287.35 MHz (vendor report, aoc, fitted)" in texts
    assert "LUT 40318 (vendor estimate, Vitis HLS 2020.1)" in texts
    assert all("vendor" in text for text in texts)


def test_a_clock_that_is_missed_and_a_part_that_is_too_small_fail(tmp_path):
    text = (FOLDER / "matcher_csynth.xml").read_text()
    text = text.replace("2.433", "4.000").replace("<LUT>1728000", "<LUT>40000")
    (tmp_path / "matcher_csynth.xml").write_text(text)
    result = check_reports("hamming", tmp_path)
    assert result.state == "fails"
    assert "250.0 MHz, and 300.3 MHz was asked for" in result.why
    assert "LUT 40318 of 40000" in result.why


def test_a_folder_without_reports_and_a_file_of_another_name_are_named(tmp_path):
    with pytest.raises(errors.ArtifactError, match="has no report") as caught:
        read_reports(tmp_path)
    assert "acl_quartus_report.txt" in caught.value.remedy
    shutil.copy(FOLDER / "report_data.js", tmp_path / "notes.txt")
    with pytest.raises(errors.ArtifactError, match="not the name of a report"):
        read_reports(tmp_path / "notes.txt")


def test_without_a_report_the_rung_is_not_run():
    assert check_reports("hamming", None).state == "not run"
