"""The area of the Verilog twin: what yosys prints is counted, and told as a range."""

import pytest

from deepseek_fpga.proof import area
from deepseek_fpga.proof.area import count_cells
from deepseek_fpga.proof.kept import Kept
from deepseek_fpga.proof.tools import Missing, Tool, yosys

# As yosys 0.23 and 0.70 print them, shortened.
OLD = """
=== matcher ===

   Number of wires:               1234
   Number of cells:               4869
     CARRY4                         78
     FDRE                         1544
     FDSE                          164
     LUT2                          605
     LUT6                          831
     MUXF7                         340
"""
NEW = """
=== matcher ===

     1234 wires
     3906 cells
       78   CARRY4
     1544   FDRE
      164   FDSE
      605   LUT2
      831   LUT6
"""


@pytest.mark.parametrize("text", [OLD, NEW])
def test_both_ways_to_print_cells_are_read(text):
    counts = count_cells(text)
    assert (counts["FDRE"], counts["FDSE"], counts["LUT2"], counts["LUT6"]) == (1544, 164, 605, 831)


@pytest.fixture
def counted(monkeypatch):
    """Yosys with these cells of an array: flip-flops and LUTs of two mappings."""

    def use(cells):
        def mapped(tool, size, mapping, limit_s):
            flip_flops, plain, sparing = cells(size)
            return {"FDRE": flip_flops, "LUT6": sparing if mapping else plain}

        tool = Tool(command="yosys", version="Yosys 0.99 (git sha1 0)")
        monkeypatch.setattr(area, "yosys", lambda: tool)
        monkeypatch.setattr(area, "mapped", mapped)

    return use


def test_an_element_is_the_difference_and_a_larger_array_lies_on_the_line(counted, tmp_path):
    counted(lambda size: (100 + 600 * size, 50 + 900 * size, 40 + 700 * size))
    result = area.check_area("hamming", Kept(tmp_path), limit_s=9.0)
    assert result.state == "holds"
    values = {figure.name: figure.value for figure in result.figures}
    assert values["FF an element"] == 600
    assert values["LUT at least an element"] == 700
    assert values["LUT at most an element"] == pytest.approx(1.33 * 700, abs=1), "wider than 900"
    assert values["FF P=48"] == 100 + 600 * 48
    assert all("Yosys 0.99" in figure.text for figure in result.figures)
    assert all("area estimate" in figure.text for figure in result.figures)


def test_an_array_that_does_not_grow_is_none(counted, tmp_path):
    counted(lambda size: (600, 900, 700))
    assert area.check_area("hamming", Kept(tmp_path), limit_s=9.0).state == "fails"


def test_it_is_found_again_and_anew_for_another_version(counted, tmp_path, monkeypatch):
    counted(lambda size: (600 * size, 900 * size, 700 * size))
    first = area.check_area("hamming", Kept(tmp_path), limit_s=9.0)
    counted(lambda size: (601 * size, 900 * size, 700 * size))
    assert area.check_area("hamming", Kept(tmp_path), limit_s=9.0) == first
    monkeypatch.setattr(area, "yosys", lambda: Tool(command="yosys", version="Yosys 1.0"))
    again = area.check_area("hamming", Kept(tmp_path), limit_s=9.0)
    assert again.figures[0].value == 601


def test_real_yosys_counts_the_registers_of_an_element(tmp_path):
    """683: query, difference, counts, distance, two entries of a list."""
    tool = yosys()
    if isinstance(tool, Missing):
        pytest.skip(f"{tool.why} -> {tool.remedy}")
    if "yowasp" in tool.command:
        pytest.skip("the wheel of yosys takes a minute to compile itself")
    counts = area.mapped(tool, 1, "-abc9", limit_s=300.0)
    registers = 256 + 256 + 80 + 9 + 2 * (9 + 32)
    shared = 4 + 256 + 4 * 32 + 2 * (9 + 32)
    got = sum(number for name, number in counts.items() if name.startswith("FD"))
    assert registers == 683
    assert registers < got <= registers + shared


def test_without_yosys_the_remedy_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    result = area.check_area("hamming", Kept(tmp_path), limit_s=9.0)
    assert (result.state, result.remedy.startswith("apt-get install yosys")) == ("not run", True)
