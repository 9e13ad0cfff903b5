"""What a newcomer gets wrong: each ends in a sentence with a remedy, and leaves nothing behind."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "end_to_end"), str(TESTS / "deepseek_core")]

import plugin_zoo as zoo  # noqa: E402
from newcomer import WIDTH, Desk, furnish  # noqa: E402
from typed_commands import CommandLine  # noqa: E402

RUN = ("run", "layer.onnx", "--input", "x.npz")
LONG_RUN = ("run", "layer.onnx", "--input", "long.npz", "--batch", "1")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(furnish(tmp_path_factory.mktemp("desk")), tmp_path_factory.mktemp("cache"))


# words of the command line -> exit code, and what the error must say
BAD = {
    "no model": (["run", "gone.onnx", "--input", "x.npz"], 2, ["no such file", "gone.onnx"]),
    "no file": (["run", "layer.onnx", "--input", "gone.npz"], 2, ["no such file", "gone.npz"]),
    "no input": (["run", "layer.onnx"], 2, ["--input FILE.npz"]),
    "no model named": (["run"], 2, ["MODEL"]),
    "wrong shape": (
        ["run", "layer.onnx", "--input", "wide.npz"], 2,
        ["tensor 'x'", "expected float32 [n, 8]", "given float32 [4, 9]"],
    ),
    "wrong dtype": (
        ["run", "layer.onnx", "--input", "double.npz"], 2,
        ["tensor 'x'", "expected float32 [n, 8]", "given float64 [4, 8]"],
    ),
    "another name": (
        ["run", "layer.onnx", "--input", "other_name.npz"], 2,
        ["no input 'z'", "x: float32 [n, 8]"],
    ),
    "an input missing": (
        ["run", "match.onnx", "--input", "x.npz"], 2,
        ["input 'gallery' is missing", "gallery: float32 [num_gallery, 8]"],
    ),
    "an input twice": ([*RUN, "--input", "x.npz"], 2, ["'x' is given twice", "x.npz"]),
    "objects": (["run", "layer.onnx", "--input", "objects.npz"], 2, ["objects.npz", "objects"]),
    "one array": (["run", "layer.onnx", "--input", "lone.npy"], 2, ["lone.npy is not an NPZ"]),
    "text": (["run", "layer.onnx", "--input", "text.npz"], 2, ["text.npz is not an NPZ"]),
    "half an archive": (
        ["run", "layer.onnx", "--input", "half.npz"], 2, ["half.npz is not an NPZ"]
    ),
    "truncated model": (
        ["run", "truncated.onnx", "--input", "x.npz"], 2,
        ["truncated.onnx is not a complete ONNX model", "export the model again"],
    ),
    "empty model": (["plan", "empty.onnx"], 2, ["empty.onnx is not a complete ONNX model"]),
    "no model format": (["plan", "text.npz"], 2, ["no plugin reads 'npz' files"]),
    "foreign operator": (
        ["run", "foreign.onnx", "--input", "x.npz"], 1,
        ["com.acme::Frobnicate (node 'second')", "onnx:cpu: ", "not a registered function",
         "install a plugin"],
    ),
    "foreign operator, planned": (["plan", "foreign.onnx"], 1, ["com.acme::Frobnicate"]),
    "no picture": (["run", "pictures.onnx", "--input", "no_photos"], 2, ["no_photos", ".png"]),
    "a torn picture": (
        ["run", "pictures.onnx", "--input", "torn_photos"], 2,
        ["torn_photos: none of 1 picture can be used: 0.png", "truncated"],
    ),
    "no use for pictures": (
        ["run", "layer.onnx", "--input", "photos"], 2, ["does not have the shape of a picture"]
    ),
    "unknown stage": ([*RUN, "--pin", "matmul=cpu"], 2, ["'matmul'", "its stages are gemm"]),
    "unknown device": ([*RUN, "--pin", "gemm=tpu"], 2, ["no device is called 'tpu'", "onnx:cpu"]),
    "a device that can't": ([*RUN, "--pin", "gemm=null"], 1, ["null:0: runs deepseek.null::Sleep"]),
    "half a pin": ([*RUN, "--pin", "gemm"], 2, ["needs STAGE=DEVICE, got 'gemm'"]),
    "two pins": ([*RUN, "--pin", "gemm=cpu", "--pin", "gemm=cpu"], 2, ["'gemm' twice"]),
    "no such device": ([*RUN, "--device", "tpu"], 2, ["no device is called 'tpu'", "onnx:cpu"]),
    "unknown flag": ([*RUN, "--outptu", "y.npz"], 2, ["--outptu", "ds-sdk run --help"]),
    "unknown latency": ([*RUN, "--latency", "soon"], 2, ["'soon'", "offline", "realtime"]),
    "no batch": ([*RUN, "--batch", "0"], 2, ["1 or more, got '0'"]),
    "no threads": ([*RUN, "--threads", "none"], 2, ["1 or more, got 'none'"]),
    "no rounds": (["calibrate", "layer.onnx", "--rounds", "0"], 2, ["1 or more, got '0'"]),
    "no batches": (["bench", "layer.onnx", "--batches", "-1"], 2, ["--batches"]),
    "no deadline": (["plan", "layer.onnx", "--deadline-ms", "nan"], 2, ["more than 0, got 'nan'"]),
    "no output folder": ([*RUN, "--output", "gone/y.npz"], 2, ["gone", "does not exist"]),
    "no trace folder": ([*RUN, "--trace", "gone/t.json"], 2, ["gone", "does not exist"]),
    "a folder as output": ([*RUN, "--output", "photos"], 2, ["photos is a folder"]),
    "a folder as trace": ([*RUN, "--trace", "photos"], 2, ["photos is a folder"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_sentence_that_names_it(case, desk, capsys, monkeypatch):
    words, code, told = BAD[case]
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(desk.cache))
    ds = CommandLine(desk.folder, capsys)
    before = ds.names()
    assert (ds(*words), ds.out) == (code, "")
    assert ds.err.startswith("error: ")
    for text in told:
        assert text in ds.err
    for text in ("unexpected", "Traceback", "pickle"):
        assert text not in ds.err
    assert ds.names() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cant_be_written_to_is_told_before_the_work(desk, tmp_path):
    tmp_path.chmod(0o500)
    process = desk(*RUN, "--output", str(tmp_path / "y.npz"))
    assert process.returncode == 2
    assert "can't be written to" in process.stderr


def test_without_plugins_nobody_reads_a_model(desk):
    process = desk(*RUN, DEEPSEEK_NO_PLUGINS="1")
    assert process.returncode == 2
    assert "no plugin reads 'onnx' files" in process.stderr
    assert "fix: unset DEEPSEEK_NO_PLUGINS\n" in process.stderr


def test_a_history_that_is_a_folder_is_told_with_a_way_out(desk, tmp_path):
    (tmp_path / "history.sqlite").mkdir()
    process = Desk(desk.folder, tmp_path)("calibrate", "layer.onnx")
    assert (process.returncode, process.stdout) == (2, "")
    assert "DEEPSEEK_CACHE_DIR" in process.stderr


def test_a_history_that_nobody_needs_is_nobodys_trouble(desk, tmp_path):
    (tmp_path / "history.sqlite").mkdir()
    assert Desk(desk.folder, tmp_path)(*RUN).returncode == 0


def wait_for(line_start, stream):
    """Read lines until one starts like this."""
    while not (line := stream.readline()).startswith(line_start):
        assert line, f"it ended before it said {line_start!r}"


def alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def group_is_gone(pid):
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("words", "mark"),
    [
        ((*LONG_RUN, "--output", "y.npz", "--trace", "t.json"), "running"),
        (("calibrate", "layer.onnx", "--rounds", "10000000"), "calibrating"),
        (("bench", "layer.onnx", "--batches", "200000"), "measuring"),
    ],
    ids=["run", "calibrate", "bench"],
)  # fmt: skip
def test_ctrl_c_ends_a_long_run_at_once_and_leaves_nothing(words, mark, desk, tmp_path):
    work = Desk(tmp_path, desk.cache)
    (tmp_path / "layer.onnx").write_bytes((desk.folder / "layer.onnx").read_bytes())
    np.savez(tmp_path / "long.npz", x=np.zeros((300_000, WIDTH), np.float32))
    before = work.names()
    process = work.start(*words)
    wait_for(f"{mark}: ", process.stderr)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert error.endswith("error: stopped by Ctrl-C\n")
    assert "Traceback" not in error
    assert work.names() == before
    assert group_is_gone(process.pid)


def test_ctrl_c_while_devices_are_probed_leaves_no_process(desk, tmp_path):
    plugins = zoo.install(tmp_path / "plugins", "hangs", probe=zoo.BAD_PROBES["hangs"])
    work = Desk(desk.folder, tmp_path / "cache")
    process = work.start("plan", "layer.onnx", PYTHONPATH=str(plugins))
    note = plugins / "zoo_hangs" / "grandchild"
    while not (note.is_file() and note.read_text()):
        assert process.poll() is None, "it ended before the probe hung"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (130, "", "error: stopped by Ctrl-C\n")
    assert not alive(int(note.read_text()))


INTERRUPTED_WHILE_LOADING = """
    import os, pathlib, signal
    from deepseek_core import Device, DeviceInfo

    os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C comes while the module loads
    pathlib.Path(__file__).with_name("loaded").write_text("whole")

    def probe():
        return [DeviceInfo(id="slow:0", kind="sim", name="slow", evidence="model")]
    """
SWALLOWS_CTRL_C = """
    from deepseek_core import DeviceInfo

    def probe():
        return [DeviceInfo(id="rude:0", kind="sim", name="rude", evidence="model")]

    def Device(device_id, options):  # as an extension module does
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error
    """


def test_ctrl_c_while_a_devices_module_loads_waits_until_it_is_whole(desk, tmp_path):
    """Half-loaded extension modules crash: NumPy's and ONNX's were seen to."""
    safe = INTERRUPTED_WHILE_LOADING.replace("os.kill(", "os.environ.get('PROBED') or os.kill(")
    plugins = zoo.install(tmp_path, "slow", probe=safe)
    work = Desk(desk.folder, tmp_path / "cache")
    probed = work("devices", "--json", PYTHONPATH=str(plugins), PROBED="1")
    assert "slow:0" in probed.stdout
    (plugins / "zoo_slow" / "loaded").unlink()
    process = work("plan", "layer.onnx", PYTHONPATH=str(plugins))
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "error: stopped by Ctrl-C\n"
    assert (plugins / "zoo_slow" / "loaded").read_text() == "whole"


def test_a_ctrl_c_that_a_library_swallows_still_stops_the_run(desk, tmp_path):
    plugins = zoo.install(tmp_path, "rude", probe=SWALLOWS_CTRL_C)
    process = Desk(desk.folder, tmp_path / "cache")("plan", "layer.onnx", PYTHONPATH=str(plugins))
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "error: stopped by Ctrl-C\n"
