"""`ds-sdk advise` as a person and a script see it."""

import io
import json

import pytest
from advised import DATA

from deepseek_core import errors
from deepseek_observe.advise import live
from deepseek_observe.cli.advise_command import main

NDV4 = str(DATA / "xml" / "azure_ndv4-topo.xml")
LOG = str(DATA / "logs" / "a100x8_1node_allreduce_a.csv")


def test_a_person_reads_warnings_first_with_reasons_and_sources(tmp_path, capsys):
    env = tmp_path / "job.sh"
    env.write_text("export NCCL_P2P_DISABLE=1\nexport NCCL_SOCKET_IFNAME=^docker\n")
    assert main(["--topology", NDV4, "--env", str(env)]) == 0
    out = capsys.readouterr().out
    places = [out.index(word) for word in ("WARNING  NCCL_SOCKET", "UNSET  NCCL_P2P", "PAIRING")]
    assert places == sorted(places)
    assert out.count("why:") == out.count("source:") == 3
    assert "$ unset NCCL_P2P_DISABLE" in out
    assert "NIC7 0108:00:00.0 (PIX), NUMA 2" in out


def test_json_has_all(capsys):
    assert main(["--topology", NDV4, "--nccl-log", LOG, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [pair["nic"] for pair in found["topologies"][0]["pairs"]] == [
        f"NIC{n}" for n in range(8)
    ]
    (log,) = found["predictions"]
    assert log["left_out_error"] < 0.06
    assert set(log["predicted"]) == {str(1 << n) for n in (10, 16, 20, 24, 28, 32)}
    assert {one["kind"] for one in found["advice"]} == {"pairing"}


def test_this_machine_is_looked_at_without_files(monkeypatch, capsys):
    monkeypatch.setenv("NCCL_IB_DISABLE", "1")
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["variable"] for one in found["advice"] if one["variable"]] == ["NCCL_IB_DISABLE"]
    assert any("nvidia-smi is not installed" in one for one in found["not_seen"])


def test_files_of_nccl_are_read_and_those_that_are_missing_told(tmp_path, monkeypatch):
    system, own = tmp_path / "etc.conf", tmp_path / "own.conf"
    system.write_text("NCCL_DEBUG=INFO\nNCCL_IB_DISABLE=1\nNCCL_SOCKET_IFNAME==ens1f0\n")
    own.write_text("NCCL_DEBUG=WARN\n")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(live, "_SYSTEM", system)
    seen = live.look({"NCCL_CONF_FILE": str(own), "NCCL_IB_DISABLE": "0", "NCCL_TOPO_FILE": "/no"})
    values = seen.environment.values
    assert (values["NCCL_DEBUG"], values["NCCL_IB_DISABLE"]) == ("WARN", "0")
    assert values["NCCL_SOCKET_IFNAME"] == "=ens1f0"
    assert seen.absent == {"NCCL_TOPO_FILE"}


def test_a_tool_that_fails_or_hangs_is_not_seen(tmp_path, monkeypatch):
    for name, body in (("nvidia-smi", "echo no driver >&2; exit 9"), ("lscpu", "exec sleep 60")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(live, "_LIMIT_S", 0.3)
    unseen = live.look({}).unseen
    assert "GPUs and adapters: nvidia-smi failed: no driver" in unseen
    assert any(one.startswith("processors: lscpu did not answer") for one in unseen)


def test_an_environment_out_of_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"NCCL_ALGO=Ring\n")))
    assert main(["--env", "-"]) == 0
    assert "UNSET  NCCL_ALGO=Ring is for debugging" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"A=\xff\n")))
    with pytest.raises(errors.ArtifactError, match="stdin is not text: byte 2"):
        main(["--env", "-"])


def test_a_log_of_one_size_and_of_wrong_results(tmp_path, capsys):
    path = tmp_path / "one.log"
    path.write_text(
        "# Collective test starting: all_reduce_perf\n"
        "  4294967296  1073741824  float  sum  -1  32285  133.0  232.8  7  32290  133.0  232.7  0\n"
    )
    assert main(["--nccl-log", str(path)]) == 0
    out = capsys.readouterr().out
    assert "WARNING" in out
    assert "7 results were wrong" in out
    assert "sizes of all_reduce: 1" in out


def test_a_model_on_a_cluster_and_by_a_measured_exchange(tmp_path, capsys):
    assert main(["--model", "7b", "--cluster", "a100-80g:1", "--json"]) == 0
    model = json.loads(capsys.readouterr().out)["step"]
    words = ["--model", "7b", "--cluster", "a100-80g:1", "--nccl-log", LOG, "--json"]
    assert main(words) == 0
    measured = json.loads(capsys.readouterr().out)["step"]
    assert measured["evidence"] == "model, with the measured all-reduce"
    assert measured["compute_s"] == model["compute_s"]
    assert measured["exchange_s"] != model["exchange_s"]


def test_a_model_and_a_budget(capsys):
    assert main(["--model", "7b", "--budget", "64gpus", "30d", "--price", "a100-80g=1.5"]) == 0
    out = capsys.readouterr().out
    assert "no FP8" in out.split("against a100-80g: ")[1].splitlines()[0]
    assert "USD" in out
    assert "evidence: model, nothing was measured" in out


def test_a_fabric(tmp_path, capsys):
    path = tmp_path / "tree.toml"
    path.write_text("ports = 48\nhost_bits_per_s = 40e9\ncore_bits_per_s = 100e9\n")
    assert main(["--fabric", str(path), "--cluster", "a100-80g:4"]) == 0
    out = capsys.readouterr().out
    assert "aggregation 1,152 switches, 0.4:1" in out
    assert "5:1 before the first switch" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "64gpus"], "about a model"),
        (["--cluster", "a100-80g:4"], "leaves open what runs"),
        (["--model", "7b", "--cluster", "a100-80g:4", "--budget", "1d"], "give one of both"),
        (["--model", "7b", "--tokens", "x"], "number of tokens"),
        (["--topology", "/nowhere.xml"], "can't be read"),
        (["--topology", LOG], "table of times; give it with --nccl-log"),
        (["--nccl-log", NDV4], "no figures of nccl-tests"),
        (["--env", "/nowhere"], "can't be read"),
        (["--model", "seven"], "not the size of a model"),
    ],
)
def test_what_is_wrong_is_told(words, told):
    with pytest.raises(errors.DeepSeekError, match=told):
        main(words)
