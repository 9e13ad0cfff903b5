"""`ds-sdk fpga`: the ladder and the builds as a person sees them."""

import fcntl
import json
import os
import subprocess

import pytest

from deepseek_core import errors
from deepseek_fpga.building.recipe import recipe
from deepseek_fpga.cli.main import main
from deepseek_fpga.manifest import read_manifest
from deepseek_fpga.platforms import list_devices
from deepseek_fpga.proof.rung import RUNGS
from deepseek_fpga.variants import kernel_source

EMULATORS = [r for r in list_devices().devices if r.evidence == "emulator"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "cache"))


def facts(capsys, *words):
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_rung_of_every_kernel_is_told_and_what_is_missing_has_a_remedy(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("deepseek_fpga.proof.tools.find_spec", lambda _: None)
    monkeypatch.setattr("deepseek_fpga.proof.tools._script", lambda _: None)
    rungs = [word for rung in RUNGS if rung.id != "E0" for word in ("--rung", rung.id)]
    code, told = facts(capsys, "report", *rungs)
    assert len(told["results"]) == 3 * (len(RUNGS) - 1)
    for result in told["results"]:
        assert result["state"] in {"holds", "fails", "not run"}
        assert result["label"]
        assert result["limits"]
        if result["state"] != "holds":
            assert result["why"]
            assert result["remedy"]
    missing = {r["rung"]: r for r in told["results"] if r["kernel"] == "hamming"}
    assert "apt-get install verilator" in missing["E2"]["remedy"]
    assert "apt-get install yosys" in missing["E3"]["remedy"]
    assert missing["E4"]["state"] == "holds"
    assert code == (1 if any(r["state"] == "fails" for r in told["results"]) else 0)


def test_a_model_s_figures_never_come_without_the_word_and_the_clock(capsys):
    words = ("report", "--rung", "E4", "--kernel", "hamming", "--board", "pes=64,clock_mhz=250")
    assert main(words) == 0
    lines = [
        line for line in capsys.readouterr().out.splitlines() if "pair/s" in line or "GB/s" in line
    ]
    assert len(lines) == 3
    for line in lines:
        assert "model" in line
        assert "clock of 250 MHz assumed" in line
    _, told = facts(capsys, *words)
    for figure in told["results"][0]["figures"]:
        assert "model, clock of 250 MHz assumed" in figure["basis"]


@pytest.mark.skipif(not list_devices().devices, reason=str(list_devices().remedy))
def test_runtimes_that_are_here_match_exactly(capsys):
    _, told = facts(capsys, "report", "--rung", "E0", "--kernel", "hamming")
    (result,) = told["results"]
    assert result["state"] != "fails", result["why"]
    assert result["figures"]
    assert {figure["value"] for figure in result["figures"]} == {0}


@pytest.mark.skipif(not EMULATORS, reason="no FPGA emulator is visible: make fpga-emulator")
@pytest.mark.parametrize("kernel", ["l2_f32", "l2_i8", "hamming"])
def test_the_emulator_matches_exactly_through_channels(kernel, capsys):
    _, told = facts(capsys, "report", "--rung", "E1", "--kernel", kernel)
    (result,) = told["results"]
    assert result["state"] == "holds", result["why"]
    assert any("channels" in figure["name"] for figure in result["figures"])


@pytest.mark.board
def test_a_board_matches_exactly(capsys):
    if not any(record.is_board for record in list_devices().devices):
        pytest.skip("no board is visible")
    _, told = facts(capsys, "report", "--rung", "E6", "--kernel", "hamming")
    (result,) = told["results"]
    assert result["state"] == "holds", result["why"]


def test_a_driver_that_dies_fails_the_rung(capsys, monkeypatch):
    if not list_devices().devices:
        pytest.skip("no OpenCL device")
    monkeypatch.setattr("deepseek_fpga.proof.runtimes.sys.executable", "/bin/false")
    code, told = facts(capsys, "report", "--rung", "E0", "--kernel", "hamming")
    assert (code, told["results"][0]["state"]) == (1, "fails")
    assert "false ended with code 1" in told["results"][0]["why"]


def test_reports_without_a_kernel_are_a_mistake(tmp_path):
    with pytest.raises(errors.ConfigError, match="which kernel"):
        main(["report", "--rung", "E5", "--reports", str(tmp_path)])


def test_a_report_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "acl_quartus_report.txt").write_bytes(os.urandom(999))
    with pytest.raises(errors.ArtifactError, match=r"acl_quartus_report\.txt"):
        main(["report", "--rung", "E5", "--kernel", "hamming", "--reports", str(tmp_path)])


@pytest.mark.parametrize("board", ["pes=0", "pes=1e9", "clock_mhz=nan", "x"])
def test_an_absurd_board_is_a_mistake(board):
    with pytest.raises(errors.ConfigError, match="a board's"):
        main(["report", "--rung", "E4", "--board", board])


def build(*words):
    return main(["build", *map(str, words)])


@pytest.mark.parametrize(
    ("target", "board", "tool", "binary"),
    [
        ("aoc", "pac_a10", "aoc", "matcher_hamming.aocx"),
        ("vpp", "xilinx_u250_gen3x16_xdma", "v++", "matcher_hamming.xclbin"),
    ],
)
def test_a_missing_tool_is_named_and_the_commands_are_written(
    target, board, tool, binary, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = (
        "--target",
        target,
        "--kernel",
        "hamming",
        "--board",
        board,
        "--output",
        tmp_path / "o",
    )
    assert build(*words) == 1
    said = capsys.readouterr().out
    assert f"not run: {tool} is not on the path -> install" in said
    script = (tmp_path / "o" / "build.sh").read_text()
    assert script.count(f"\n{tool} ") == 2
    assert board in script
    assert binary in script
    assert "-DMETRIC_HAMMING -DROWS=4 -DVECS=1 -DFPGA_WRAPPER" in script
    assert ("-DUSE_CHANNELS" in script) == (target == "aoc")
    assert (tmp_path / "o" / "matcher.cl").read_text() == kernel_source()
    assert build(*words, "--dry-run") == 0


def put_tool(folder, monkeypatch, text, name="aoc"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


WORDS = ("--target", "aoc", "--kernel", "hamming", "--board", "pac_a10")
# Stands for aoc: writes what follows -o.
COMPILER = """[ "$1" = -version ] && echo "Intel(R) FPGA SDK, Version 99" && exit 0
while [ "$1" != -o ]; do shift; done
echo compiled > "$2"
"""


def test_a_tool_that_is_here_is_run_and_what_it_built_is_recorded(tmp_path, capsys, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, COMPILER)
    output = tmp_path / "o"
    assert build(*WORDS, "--output", output) == 0
    assert f"export DEEPSEEK_FPGA_BINARY={output}/matcher_hamming.aocx" in capsys.readouterr().out
    manifest = read_manifest(output / "matcher_hamming.aocx")
    assert (manifest.target, manifest.board) == ("aoc", "pac_a10")
    assert manifest.tool == "Intel(R) FPGA SDK, Version 99"
    assert manifest.variant.form == "channels"
    assert (output / "matcher_hamming.aocr").exists()


def test_only_the_report_is_made_if_asked(tmp_path, capsys, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, COMPILER)
    assert build(*WORDS, "--output", tmp_path / "o", "--report-only") == 0
    assert "--rung E5 --reports" in capsys.readouterr().out
    assert not (tmp_path / "o" / "matcher_hamming.aocx").exists()


def test_a_build_that_fails_leaves_no_manifest_and_its_log(tmp_path, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, COMPILER)
    output = tmp_path / "o"
    build(*WORDS, "--output", output)
    put_tool(tmp_path / "bin", monkeypatch, "echo Error: out of ALMs; exit 7")
    with pytest.raises(errors.DeepSeekError, match="ended with code 7: Error: out of ALMs"):
        build(*WORDS, "--output", output)
    assert read_manifest(output / "matcher_hamming.aocx") is None, "an old binary, a new log"
    assert "out of ALMs" in (output / "build.log").read_text()


def test_a_build_that_hangs_ends_in_time(tmp_path, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, "sleep 600")
    with pytest.raises(errors.DeepSeekError, match="aoc did not end in 1 s and was killed"):
        build(*WORDS, "--output", tmp_path / "o", "--limit", "1")


def test_a_build_that_says_it_is_done_and_made_nothing_is_named(tmp_path, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, "exit 0")
    with pytest.raises(errors.DeepSeekError, match=r"matcher_hamming\.aocx"):
        build(*WORDS, "--output", tmp_path / "o")


def test_two_builds_in_one_folder_are_refused(tmp_path, monkeypatch):
    put_tool(tmp_path / "bin", monkeypatch, COMPILER)
    (tmp_path / "o").mkdir()
    with (tmp_path / "o" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.ConfigError, match="another build works in"):
            build(*WORDS, "--output", tmp_path / "o")
    assert build(*WORDS, "--output", tmp_path / "o") == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.WriteError, match="can't be written"):
        build(*WORDS, "--output", tmp_path / "file")


@pytest.mark.parametrize("board", ["", "-x", "a b", "a;rm", "x" * 999])
def test_a_board_without_a_name_is_a_mistake(board):
    with pytest.raises(errors.ConfigError, match="needs the name of a board"):
        recipe("aoc", "hamming", board)


def test_the_script_survives_a_shell(tmp_path, monkeypatch):
    """Each command with its words, as they were."""
    made = recipe("emulator", "hamming", "", python="/bin/echo")
    (tmp_path / "build.sh").write_text(made.script)
    said = subprocess.run(
        ["/bin/sh", "build.sh"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == " ".join(made.steps[0][1:])


@pytest.mark.skipif(not EMULATORS, reason="no FPGA emulator is visible: make fpga-emulator")
def test_the_emulator_s_build_is_taken_by_the_device(tmp_path, monkeypatch):
    output = tmp_path / "o"
    assert build("--target", "emulator", "--kernel", "hamming", "--output", output) == 0
    from deepseek_core import LoadOptions, OpenOptions
    from deepseek_fpga import conformance
    from deepseek_fpga.device import open_matching_device
    from deepseek_fpga.program_cache import ProgramCache

    monkeypatch.setenv("DEEPSEEK_FPGA_BINARY", str(output / "matcher_hamming.clbin"))
    monkeypatch.setattr(ProgramCache, "compile", lambda *_: pytest.fail("it compiled"))
    device = open_matching_device(EMULATORS[0].id, OpenOptions(threads=1, cache_dir=tmp_path))
    case = conformance.TestOpenCl().cases()[1]
    found = device.load(case.stage, LoadOptions()).run(case.inputs)
    assert (found["indices"] == case.expected["indices"]).all()
