"""`ds-sdk doctor` and `ds-sdk devices` on machines with and without GPUs."""

import json

import machines
import pytest
from machines import A100, LOST, MIG_H100, T4, described

from deepseek_cuda.discovery.host import find_host
from deepseek_cuda.torch_programs.opener import find_torch

LIBRARIES = "TensorRT", "torch.export"  # what beside GPUs is told
DS_SDK = ("-m", "deepseek_core")


@pytest.fixture
def findings(tmp_path, library, build):
    """What `doctor` says of GPUs: (status, text, remedy)."""

    def find(text, *, nvml=library, libraries=False, ort=build, **variables):
        environment = machines.environment(tmp_path, nvml, ort, text, **variables)
        printed = machines.run(environment, *DS_SDK, "doctor", "--json")
        checks = json.loads(printed)["checks"]
        return [
            (check["status"], check["message"], check["remedy"])
            for check in checks
            if check["name"] == "gpu_cuda gpus"
            and any(word in check["message"] for word in LIBRARIES) is libraries
        ]

    return find


@pytest.mark.skipif(find_host().card is not None, reason="this machine has an NVIDIA GPU")
def test_a_machine_without_a_gpu_is_no_fault(findings):
    (only,) = findings("", nvml=None)
    assert only == (
        "ok",
        "no NVIDIA GPU on the PCI bus and no driver",
        "DEEPSEEK_DISABLE_PLUGINS=gpu_cuda (or a machine with one)",
    )


def test_a_usable_gpu_is_told_with_how_to_use_it(findings):
    (only,) = findings(described([A100]))
    assert only == (
        "ok",
        "cuda:0: NVIDIA A100-SXM4-80GB (compute capability 8.0) can be used "
        "(driver 550.54.15, 78.0 of 80.0 GiB free, 41 C, busy 37% of the time)",
        "ds-sdk run MODEL --device cuda:0",
    )


def test_unequal_cards_are_told_one_by_one(findings):
    found = findings(described([T4, A100]))
    assert [status for status, _, _ in found] == ["ok", "ok"]
    assert "Tesla T4 (compute capability 7.5) can be used (driver 550.54.15, 16.0" in found[0][1]
    assert found[1][2] == "ds-sdk run MODEL --device cuda:1"


def test_a_divided_gpu_and_a_lost_one_are_told(findings):
    found = findings(described([{**T4, "lost": LOST}, MIG_H100]))
    assert [status for status, _, _ in found] == ["warn", "ok", "warn"]
    assert "it fell off the bus" in found[0][1]
    assert found[2][2] == "export CUDA_VISIBLE_DEVICES=MIG-1a"


def test_what_the_variable_hides_is_told(findings):
    found = findings(described([T4, A100]), CUDA_VISIBLE_DEVICES=A100["uuid"])
    assert found[-1] == (
        "ok", "CUDA_VISIBLE_DEVICES hides GPU 0 (Tesla T4)", "unset CUDA_VISIBLE_DEVICES",
    )  # fmt: skip


def test_a_driver_that_hangs_costs_the_limit_and_no_more(tmp_path, library, build):
    text = described([A100], hang=0)
    environment = machines.environment(tmp_path, library, build, text, DEEPSEEK_PROBE_TIMEOUT="3")
    (row,) = json.loads(machines.run(environment, *DS_SDK, "devices", "--json"))["devices"]
    assert row["status"] == "broken"
    assert row["reason"] == "the probe did not answer in 3 s and was killed"
    assert row["remedy"].startswith("DEEPSEEK_PROBE_TIMEOUT=9")
    assert row["seconds"] < 10


def test_devices_are_listed_by_the_command(tmp_path, library, build):
    environment = machines.environment(tmp_path, library, build, described([T4, A100]))
    found = json.loads(machines.run(environment, *DS_SDK, "devices", "--json"))["devices"]
    assert [row["id"] for row in found] == ["cuda:0", "cuda:1"]
    assert {row["plugin"] for row in found} == {"gpu_cuda"}


def test_what_else_a_gpu_could_run_is_told(findings, tmp_path):
    ort = machines.make_build(tmp_path / "ort")
    without, torch = findings(described([A100]), libraries=True, ort=ort)
    assert without[1] == (
        "no TensorRT for ONNX models: this build of onnxruntime 1.99.0 has no TensorRT provider"
    )
    reason, remedy = find_torch()
    if reason:
        assert torch == ("ok", f"no programs of torch.export: {reason}", remedy)
    machines.add_tensorrt(ort)
    found, _ = findings(described([A100]), libraries=True, ort=ort)
    assert found == (
        "ok",
        "ONNX Runtime's TensorRT provider can be used (TensorRT 10.13.3)",
        "ds-sdk run MODEL --set gpu_cuda.onnx_providers=tensorrt,cuda",
    )


def test_without_a_gpu_nothing_else_is_missed(findings):
    assert findings("", nvml=None, libraries=True) == []
