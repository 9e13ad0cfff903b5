"""`ds-sdk monitor` as a person, a script and a signal see it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import machines
import pytest

from deepseek_core import errors
from deepseek_observe.cli.monitor_command import main
from deepseek_observe.monitor.families import PANELS
from deepseek_observe.monitor.sources.gpus import Gpus


def started(*words, **environment):
    """The command in a process, and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deepseek_core", "monitor", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    line = process.stdout.readline()
    assert line.startswith("page:"), line + process.stderr.read()
    return process, line.split()[1]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_open_streams_and_writes_the_past(tmp_path, runtime, kind):
    process, url = started("--port", "0", "--simulate", "2", "--history", str(tmp_path / "past"))
    with urllib.request.urlopen(url.replace("/?", "/events?"), timeout=20) as stream:
        while not stream.readline().startswith(b"event: row"):
            pass
        began_s = time.monotonic()
        process.send_signal(kind)
        output = process.communicate(timeout=20)
        assert time.monotonic() - began_s < 10  # its own limits are two seconds
    assert (process.returncode, output[1]) == (0, "")
    assert [file.name for file in (tmp_path / "past").glob("*.dsh")] == ["00000001.dsh"]
    assert list(runtime.iterdir()) == []


def test_nohup_keeps_it_when_the_terminal_goes(runtime):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process, url = started("--port", "0", "--simulate", "1")
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.status == 200
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_one_sample_for_a_person_and_for_a_script(capsys, runtime):
    assert main(["--once", "--simulate", "2"]) == 0
    out = capsys.readouterr().out
    assert "sim:0" in out
    assert "2 devices of a simulation" in out
    assert main(["--once", "--simulate", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    kinds = {one["labels"].get("kind") for one in found["values"]}
    assert {"cpu", "simulation"} <= kinds
    assert not runtime.exists()  # nobody can send to what is over at once


def test_the_dashboard_has_a_panel_for_each_chart(tmp_path):
    out = tmp_path / "dashboard.json"
    assert main(["--grafana", str(out)]) == 0
    panels = json.loads(out.read_text())["panels"]
    assert [panel["title"] for panel in panels] == [family.panel for family in PANELS]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--json"], "--once --json"),
        (["--once", "--grafana", "x"], "two things"),
        (["--history", "x", "--no-history"], "leave one out"),
        (["--port", "70000"], "--port 0"),
        (["--simulate", "0"], "1 to 4096"),
        (["--every", "0.01"], "0.1 to 60"),
        (["--history-size", "3K"], "1M or more"),
        (["--alert", "heat=3"], "no alert 'heat'"),
        (["--alert", "temperature=hot"], "temperature=87"),
        (["--alert", "temperature=nan"], "temperature=87"),
        (["--no-history", "--host", "no.such.host.invalid"], "--host 127.0.0.1"),
        (["--history", "/proc/nowhere"], "no history can be kept"),
    ],
)
def test_what_can_not_be_is_told(words, told, runtime):
    with pytest.raises(errors.ConfigError, match=told):
        main([*words, "--port", "0"] if "--port" not in words else words)


def test_the_token_is_kept_private_and_made_once(tmp_path, runtime):
    file = tmp_path / "token"
    process, url = started("--port", "0", "--no-history", "--token-file", str(file))
    process.terminate()
    process.communicate(timeout=20)
    assert file.stat().st_mode & 0o777 == 0o600
    assert url.endswith(f"?token={file.read_text().strip()}")
    file.chmod(0o644)
    with pytest.raises(errors.ConfigError, match="chmod 600"):
        main(["--port", "0", "--no-history", "--token-file", str(file)])
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(errors.ConfigError, match="16 characters"):
        main(["--port", "0", "--no-history", "--token-file", str(file)])


def once(folder, library, text):
    """One sample on a machine of which the fake NVML tells that; values by series."""
    env = machines.environment(folder, library, None, text, DEEPSEEK_PLUGINS="observe")
    command = [sys.executable, "-m", "deepseek_core", "monitor", "--once", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    values = {
        (one["name"].removeprefix("deepseek_device_"), one["labels"].get("device")): one["value"]
        for one in found["values"]
    }
    return values, found


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return machines.make_library(tmp_path_factory.mktemp("nvml") / "lib")


def test_a_lost_gpu_is_a_state_and_the_rest_goes_on(tmp_path, library):
    lost = machines.H100 | {"lost": machines.LOST}
    text = machines.described([machines.A100, lost, machines.T4])
    values, found = once(tmp_path, library, text)
    assert [values["up", f"cuda:{n}"] for n in range(3)] == [1.0, 0.0, 1.0]
    assert values["utilization_ratio", "cuda:0"] == 0.37
    assert values["memory_used_ratio", "cuda:0"] == 2 / 80
    assert values["power_watts", "cuda:0"] == 62.5
    assert ("utilization_ratio", "cuda:1") not in values
    assert ("temperature_celsius", "cuda:2") not in values  # it told -1
    assert [(one["name"], one["subject"]) for one in found["alerts"]] == [("lost", "cuda:1")]


def test_all_that_a_gpu_can_tell_is_told(tmp_path, library):
    full = {"clock": 1980, "reasons": 0x44, "ecc": 3, "traffic": 1 << 20, "bandwidth": 62}
    old = {"slow": 500, "clock": 1 << 30}
    text = machines.described([machines.H100 | full, machines.A100 | old])
    values, found = once(tmp_path, library, text)
    assert values["dram_bandwidth_ratio", "cuda:0"] == 0.62
    assert values["clock_hertz", "cuda:0"] == 1.98e9
    assert values["ecc_uncorrected_total", "cuda:0"] == 3
    assert values["pcie_transmit_bytes_per_second", "cuda:0"] > 0
    on = {one["subject"] for one in found["alerts"] if one["name"] == "throttled"}
    assert on == {"cuda:0: hardware temperature"}  # a power cap is no fault
    assert values["pcie_transmit_bytes_per_second", "cuda:1"] == 500 * 1024
    assert values["pcie_receive_bytes_per_second", "cuda:1"] == 1000 * 1024
    assert ("dram_bandwidth_ratio", "cuda:1") not in values
    assert ("clock_hertz", "cuda:1") not in values  # a number that stands for "blank"
    names = {one["labels"]["name"] for one in found["values"] if "name" in one["labels"]}
    assert "NVIDIA H100 80GB HBM3" in names


def test_a_gpu_that_falls_off_the_bus_between_two_samples_is_lost(tmp_path, library):
    text = machines.described([machines.A100, machines.H100 | {"lasts": 1}])
    values, _ = once(tmp_path, library, text)
    assert [values["up", f"cuda:{n}"] for n in range(2)] == [1.0, 0.0]


def test_mig_instances_tell_of_their_memory(tmp_path, library):
    values, _ = once(tmp_path, library, machines.described([machines.MIG_H100]))
    assert values["memory_size_bytes", "cuda:0:7:0"] == 10 * machines.GIB
    assert values["up", "cuda:0:2:0"] == 1.0


@pytest.mark.parametrize(("text", "told"), [("error 9\n", "NVML"), ("", "no GPU")])
def test_no_driver_and_no_gpu_are_notes(tmp_path, library, text, told):
    _, found = once(tmp_path, library, text)
    assert told in found["notes"]["gpus"]
    assert found["alerts"] == []


def test_a_driver_that_hangs_is_told_and_the_host_goes_on(tmp_path, library):
    text = machines.described([machines.A100], hang=2)
    values, found = once(tmp_path, library, text)
    assert values["up", "host"] == 1.0
    assert found["notes"]["gpus"] == "gpus: it does not answer"


def test_without_a_library_it_says_so():
    assert "no GPU is sampled" in Gpus().read().notes["gpus"] or Gpus().read().values
