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


def _in_quotes(line):
    """A variable as aoc 17 and 18 wrote it: JSON as text of JavaScript."""
    name, _, value = line.rstrip(";").partition("=")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace('\\"', '\\\\"')
    return f"{name}='{escaped}';"


@pytest.mark.parametrize("written", [str, _in_quotes])
def test_both_ways_to_write_data_and_the_source_text_beside_it(written):
    """Each of 25 public reports has escapes of JavaScript in its text, which JSON does not know."""
    said = 'var loopsJSON={"name":"loop of \\"i\\"", "data":["Yes", "~3", "II"]};'
    text = (FOLDER / "report_data.js").read_text().splitlines()
    lines = [written(line) for line in (*text, "", said) if line]
    source = r"""var fileJSON=[{"name":"m.cl", "content":"x = \'a\'; // 100\% \0"}];"""
    found = aoc.parse_compiler("\n".join([*lines, source, "var alpha=false;"]), "report_data.js")
    assert found.interval == 3, "the last loopsJSON counts, as in a browser"
    assert found.used == facts("report_data.js").used
    assert found.available == facts("report_data.js").available


def test_a_part_has_no_number_of_mlabs_for_aoc():
    """It writes 0 in the row of what is available, and uses some."""
    text = (FOLDER / "summary.ndjson").read_text().replace('"1518", "21360"', '"1518", 0')
    found = aoc.parse_compiler(text, "summary.ndjson")
    assert found.used["MLABs"] == 44
    assert "MLABs" not in found.available


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


def test_sdaccel_draws_its_tables_with_borders():
    """And has no modules in them; the last cells of a row may be wide."""
    tables = {
        "Timing Information (MHz)": ["Kernel Name | Estimated Frequency", "a | 342.4", "b | 283.2"],
        "Latency Information (clock cycles)": [
            "Kernel Name | Start Interval",
            "a | 9",
            "b | undef",
        ],
        "Area Information": ["Compute Unit | Kernel Name | FF | LUT", "a_1|a|5|7", "b_1|b|10|20"],
    }
    text = "Target Clock:     250MHz\n" + "".join(
        "\n".join([title, "+---+", f"| {rows[0]} |", "+---+", *(f"| {r} |" for r in rows[1:])])
        + "\n+---+\n\n"
        for title, rows in tables.items()
    )
    found = vitis.parse_system_estimate(text, "system_estimate.xtxt")
    assert (found.clock_mhz, found.target_mhz, found.interval) == (283.2, 250, 9)
    assert found.used == {"FF": 15, "LUT": 27}


def test_the_clock_of_the_kernel_is_not_that_of_the_memory_before_it():
    """As on boards with HBM, whose clock comes first."""

    def clock(name, kind, *fields):
        return "\n".join([f"   Name:      {name}", f"   Type:      {kind}", *fields, ""])

    scalable = clock("hbm_aclk", "SYSTEM", "   Frequency: 450 MHz")
    scalable += clock("KERNEL_CLK", "KERNEL", "   Frequency: 500 MHz")
    scalable += clock("DATA_CLK", "DATA", "   Frequency: 287 MHz")
    found = vitis.parse_binary_info(f"xclbin Information\n{scalable}", "a.xclbin.info")
    assert (found.clock_mhz, found.target_mhz) == (287, None)
    asked = ("   Requested Freq: 300 MHz", "   Achieved Freq:  287.5 MHz")
    system = clock(
        "ulp_ucs_aclk_kernel_01", "SCALABLE", *[line.replace("3", "5") for line in asked]
    )
    system += clock("ulp_ucs_aclk_kernel_00", "SCALABLE", *asked)
    found = vitis.parse_binary_info(f"xclbin Information\n{scalable}{system}", "a.xclbin.info")
    assert (found.clock_mhz, found.target_mhz) == (287.5, 300)


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


def test_a_design_stands_for_its_modules_and_a_file_for_its_copy(tmp_path):
    """A module's report would count its cells again, and may miss a clock that is not its own."""
    text = (FOLDER / "matcher_csynth.xml").read_text()
    for name in ("csynth.xml", "matcher_csynth.xml"):
        (tmp_path / name).write_text(text)
    (tmp_path / "keep_panel_csynth.xml").write_text(text.replace("2.433", "9.999"))
    json = tmp_path / "lib" / "json"
    json.mkdir(parents=True)
    shutil.copy(FOLDER / "report_data.js", tmp_path / "lib")
    (json / "summary.json").write_text("{}")
    read = [Path(found.source).name for found in read_reports(tmp_path)]
    assert read == ["csynth.xml", "report_data.js"]
    assert check_reports("hamming", tmp_path).state == "holds"


def test_cells_are_told_to_the_last(tmp_path):
    text = (FOLDER / "matcher_csynth.xml").read_text().replace("<LUT>40318", "<LUT>270827")
    (tmp_path / "matcher_csynth.xml").write_text(text)
    texts = [figure.text for figure in check_reports("hamming", tmp_path).figures]
    assert "LUT 270827 (vendor estimate, Vitis HLS 2020.1)" in texts


def test_figures_of_several_reports_of_a_tool_name_their_file(tmp_path):
    for name in ("one_csynth.xml", "two_csynth.xml"):
        shutil.copy(FOLDER / "matcher_csynth.xml", tmp_path / name)
    texts = [figure.text for figure in check_reports("hamming", tmp_path).figures]
    assert f"LUT 40318 (vendor estimate, Vitis HLS 2020.1, {tmp_path / 'two_csynth.xml'})" in texts


def test_reports_of_more_than_one_kernel_are_not_cut_short(tmp_path):
    for kernel in range(65):
        shutil.copy(FOLDER / "matcher_csynth.xml", tmp_path / f"k{kernel}_csynth.xml")
    with pytest.raises(errors.ArtifactError, match="has 65 reports") as caught:
        read_reports(tmp_path)
    assert str(tmp_path) in caught.value.remedy


def test_vivado_is_not_called_vitis():
    text = (FOLDER / "matcher_csynth.xml").read_text().replace("2020.1", "2019.1")
    assert vitis.parse_csynth(text, "a_csynth.xml").tool == "Vivado HLS 2019.1"


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
