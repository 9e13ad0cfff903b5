"""What the probe says of machines with GPUs, under the real nvidia-ml-py and the real loader."""

import json
import os
import shlex
import subprocess

import machines
import pytest
from machines import A100, GB10, GIB, LARGE, LOST, MIG_H100, ORIN, SMALL, T4, V100, described

from deepseek_cuda.discovery.gpus import Machine
from deepseek_cuda.discovery.host import find_host
from deepseek_cuda.discovery.rows import Host, trouble_of

IN_CONTAINER = find_host().is_container
NEWER = 'pip install "onnxruntime-gpu[cuda,cudnn]<1.27"'


@pytest.fixture
def probed(tmp_path, library, build):
    """The rows of a machine, by id."""

    def probe(text, *, ort=build, nvml=library, **variables):
        found = machines.rows(machines.environment(tmp_path, nvml, ort, text, **variables))
        return {row["id"]: row for row in found}

    return probe


def test_a_usable_gpu_has_its_facts(probed):
    (row,) = probed(described([A100])).values()
    assert (row["id"], row["kind"], row["vendor"]) == ("cuda:0", "gpu", "NVIDIA")
    assert row["name"] == "NVIDIA A100-SXM4-80GB (compute capability 8.0)"
    assert (row["mem_bytes"], row["driver"]) == (80 * GIB, "550.54.15")
    assert row["fingerprint"] == f"{A100['name']}|8.0|{80 * GIB}|550.54.15|1.99.0"
    assert (row["evidence"], row["uses_host_cores"]) == ("hardware", False)
    assert (row["status"], row["reason"], row["remedy"]) == ("available", None, None)


@pytest.mark.skipif(find_host().card is not None, reason="this machine has an NVIDIA GPU")
def test_no_library_is_no_gpu(probed):
    (row,) = probed("", nvml=None).values()
    assert (row["id"], row["status"]) == ("cuda", "unavailable")
    assert row["reason"] == "no NVIDIA GPU on the PCI bus and no driver"
    assert row["remedy"] == "DEEPSEEK_DISABLE_PLUGINS=gpu_cuda (or a machine with one)"
    assert row["absent"], "which is not asked again for each plan"


@pytest.mark.parametrize(
    ("marks", "reason", "remedy"),
    [
        ((), "a GPU is there (PCI 0000:01:00.0), and no driver", "apt-get install nvidia-driver"),
        ((".dockerenv",), "and this container has no driver", "docker run --gpus all"),
        (("run/.containerenv",), "and this container has no driver", "docker run --gpus all"),
    ],
)
def test_a_card_on_the_bus_without_a_driver_is_told(tmp_path, marks, reason, remedy):
    for address, kind in (("0000:01:00.0", "0x030200"), ("0000:00:01.0", "0x040300")):
        card = tmp_path / "sys/bus/pci/devices" / address
        card.mkdir(parents=True)
        (card / "vendor").write_text("0x10de\n")
        (card / "class").write_text(f"{kind}\n")
    (tmp_path / "run").mkdir()
    for mark in marks:
        (tmp_path / mark).touch()
    found = trouble_of(Machine(trouble="no library"), find_host(tmp_path))
    assert reason in found.reason
    assert found.remedy.startswith(remedy)


def test_a_driver_without_a_gpu_is_told(probed):
    (row,) = probed(described()).values()
    assert row["reason"] == "driver 550.54.15 is here, and no GPU"


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (4, "may not open /dev/nvidiactl", "ls -l /dev/nvidiactl"),
        (9, "kernel module is not loaded", "modprobe nvidia"),
        (18, "of two versions", "docker restart" if IN_CONTAINER else "reboot"),
        (
            999,
            "the driver answers: Unknown Error",
            "docker restart" if IN_CONTAINER else "nvidia-smi",
        ),
    ],
)
def test_a_driver_that_refuses_is_told_by_what_it_says(probed, code, reason, remedy):
    (row,) = probed(described([A100], error=code)).values()
    assert not row["absent"], "what can be repaired is asked again"
    assert reason in row["reason"]
    assert row["remedy"].startswith(remedy)


@pytest.mark.parametrize(
    ("trouble", "outside"), [("mismatch", "reboot"), ("failed", "nvidia-smi (it shows")]
)
def test_a_container_that_lost_its_driver_is_started_again(trouble, outside):
    """Reloading systemd takes its devices away, a new driver on the host its libraries."""
    machine = Machine(trouble=trouble, words="Unknown Error")
    assert trouble_of(machine, Host()).remedy.startswith(outside)
    assert trouble_of(machine, Host(is_container=True)).remedy.startswith("docker restart")


@pytest.mark.parametrize(
    ("mark", "reason", "remedy"),
    [
        ("usr/lib/wsl/lib/libnvidia-ml.so.1", "/usr/lib/wsl/lib", "export LD_LIBRARY_PATH=/usr"),
        ("etc/nv_tegra_release", "this Jetson has no NVML", "DEEPSEEK_DISABLE_PLUGINS=gpu_cuda"),
    ],
)
def test_gpus_that_are_on_no_bus_are_not_called_absent(tmp_path, mark, reason, remedy):
    (tmp_path / mark).parent.mkdir(parents=True)
    (tmp_path / mark).touch()
    found = trouble_of(Machine(trouble="no library"), find_host(tmp_path))
    assert reason in found.reason
    assert found.remedy.startswith(remedy)
    assert not found.is_absent


def test_memory_that_is_the_host_s_is_not_0_bytes(tmp_path, library, build, probed):
    """A GB10: NVML does not support the question, or answers 0, by the driver's version."""
    text = described([GB10, {**GB10, "uuid": "GPU-e", "shared": 1}])
    assert [row["mem_bytes"] for row in probed(text).values()] == [None, None]
    for reading in _readings(tmp_path, library, build, text):
        assert (reading["available_bytes"], reading["temperature_c"]) == (None, 36)


def test_a_gpu_on_no_bus_can_be_used(probed):
    """A Jetson: of all that is asked it tells a name, a UUID and a capability."""
    (row,) = probed(described([ORIN])).values()
    assert (row["status"], row["mem_bytes"]) == ("available", None)
    assert row["name"] == "Orin (nvgpu) (compute capability 8.7)"


def test_a_name_that_is_no_text_hides_no_gpu(probed):
    """Driver 555.85 under WSL: bytes that are no UTF-8."""
    (row,) = probed(described([{**A100, "garbled": 1}])).values()
    assert row["status"] == "available"
    assert row["name"] == "NVIDIA GPU (compute capability 8.0)"


def test_gpus_of_other_jobs_have_no_row_and_are_not_counted(probed):
    """NVML lists what this process may not open; CUDA does not, and counts without it."""
    others = [{**A100, "uuid": f"GPU-{number}", "lost": 4} for number in range(3)]
    text = described([*others, A100])
    assert list(probed(text)) == ["cuda:3"]
    assert list(probed(text, CUDA_VISIBLE_DEVICES="0")) == ["cuda:3"]
    (row,) = probed(described(others)).values()
    assert row["reason"].startswith("this process may not open any of 3 GPUs (NVML: Insufficient")
    assert row["remedy"].startswith("ls -l /dev/nvidia*")
    divided = {**MIG_H100, "instances": [{**LARGE, "lost": 4}, SMALL]}
    assert list(probed(described([divided]))) == ["cuda:0:7:0"]


def test_a_gpu_that_has_to_be_reset_has_not_fallen_off_the_bus(probed):
    (row,) = probed(described([{**A100, "lost": 16}])).values()
    assert row["reason"] == "it has to be reset (NVML: GPU requires restart)"
    assert row["remedy"].startswith("nvidia-smi --gpu-reset -i 0")


def test_instances_have_rows_and_the_first_is_what_cuda_takes(probed):
    found = probed(described([MIG_H100]))
    assert list(found) == ["cuda:0:2:0", "cuda:0:7:0"]
    first, second = found.values()
    assert (first["status"], second["status"]) == ("available", "unavailable")
    assert first["name"] == f"{LARGE['name']} (compute capability 9.0)"
    assert first["mem_bytes"] == 40 * GIB
    assert second["remedy"] == "export CUDA_VISIBLE_DEVICES=MIG-1a"
    followed = probed(described([MIG_H100]), CUDA_VISIBLE_DEVICES=SMALL["uuid"])
    assert list(followed) == ["cuda:0:7:0"]


def test_unequal_cards_and_a_number_need_the_order_of_the_bus(probed):
    text = described([T4, A100])
    assert [row["status"] for row in probed(text).values()] == ["available"] * 2
    (row,) = probed(text, CUDA_VISIBLE_DEVICES="0").values()
    variable, _, value = row["remedy"].removeprefix("export ").partition("=")
    (followed,) = probed(text, CUDA_VISIBLE_DEVICES="0", **{variable: value}).values()
    assert (followed["id"], "Tesla T4" in followed["name"]) == ("cuda:0", True)


def test_a_card_that_fell_off_the_bus_is_told_and_the_other_stays(probed):
    found = probed(described([{**A100, "lost": LOST}, {**A100, "uuid": "GPU-b"}]))
    assert found["cuda:1"]["status"] == "available"
    lost = found["cuda:0"]
    assert lost["reason"] == "it fell off the bus (NVML: GPU is lost)"
    assert lost["remedy"].startswith("reboot")


def test_all_cards_lost_is_one_row_each(probed):
    found = probed(described([{**A100, "lost": LOST}]))
    assert [row["reason"] for row in found.values()] == ["it fell off the bus (NVML: GPU is lost)"]


def test_hidden_gpus_have_no_row_as_long_as_one_is_left(probed):
    text = described([A100, {**A100, "uuid": "GPU-b"}])
    assert list(probed(text, CUDA_VISIBLE_DEVICES="1")) == ["cuda:1"]
    (row,) = probed(text, CUDA_VISIBLE_DEVICES="").values()
    assert (row["id"], row["remedy"]) == ("cuda", "unset CUDA_VISIBLE_DEVICES")


def test_a_driver_that_is_too_old_for_the_build_is_told(probed, tmp_path):
    thirteen = machines.make_build(tmp_path / "ort13", "13.0")
    (row,) = probed(described([A100], cuda=12040), ort=thirteen).values()
    assert row["reason"] == (
        "driver 550.54.15 is too old: it serves CUDA 12.4, "
        "and onnxruntime 1.99.0 was built for 13.0"
    )
    assert row["remedy"] == f"{NEWER} (or update the driver to 580 or newer)"
    (row,) = probed(described([A100], cuda=11040)).values()
    assert row["remedy"].startswith("apt-get install --only-upgrade nvidia-driver (update the dr")
    (row,) = probed(described([A100], cuda=12020)).values()
    assert row["status"] == "available", "a driver serves every minor version of its major"


def test_a_gpu_that_is_too_old_for_the_build_is_told(probed, tmp_path):
    thirteen = machines.make_build(tmp_path / "ort13", "13.0")
    (row,) = probed(described([V100], cuda=13000), ort=thirteen).values()
    assert "its compute capability is 7.0" in row["reason"]
    assert row["remedy"] == NEWER


def test_a_build_without_the_provider_is_told(probed, tmp_path):
    plain = machines.make_build(tmp_path / "plain", provider=False)
    (row,) = probed(described([A100]), ort=plain).values()
    assert row["reason"] == "this build of onnxruntime 1.99.0 has no CUDA provider"
    assert row["remedy"] == (
        'pip uninstall -y onnxruntime && pip install "onnxruntime-gpu[cuda,cudnn]"'
    )


def test_a_library_that_is_missing_is_named_by_the_loader(probed, tmp_path):
    broken = machines.make_build(tmp_path / "broken", lacks="libcublasLt.so.99")
    (row,) = probed(described([A100]), ort=broken).values()
    assert "libcublasLt.so.99: cannot open shared object file" in row["reason"]
    assert row["remedy"] == 'pip install "onnxruntime-gpu[cuda,cudnn]==1.99.0"'


def test_no_onnxruntime_is_told(probed, tmp_path):
    (row,) = probed(described([A100]), ort=None, PYTHONPATH=_without_onnxruntime(tmp_path)).values()
    assert row["reason"] == "onnxruntime is not installed"


def _without_onnxruntime(folder):
    """A path on which onnxruntime can't be found: a finder that knows of none."""
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "f = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'onnxruntime' else f(n, *a)\n"
    )
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


@pytest.mark.parametrize(
    "text",
    [
        described([A100], error=9),
        described(),
        described([{**A100, "lost": LOST}]),
        described([MIG_H100]),
        described([{**MIG_H100, "instances": []}]),
        described([V100], cuda=11040),
    ],
)
def test_every_remedy_can_be_pasted(probed, text):
    """It is a command as far as the shell reads it: what stands in brackets is for people."""
    remedies = [row["remedy"] for row in probed(text).values() if row["remedy"]]
    assert remedies
    for remedy in remedies:
        command = remedy.partition(" (")[0]
        assert shlex.split(command)
        done = subprocess.run(["sh", "-n", "-c", command], check=False, capture_output=True)
        assert done.returncode == 0, command


def test_readings_that_a_gpu_does_not_give_are_none(tmp_path, library, build):
    (rich, poor) = _readings(tmp_path, library, build, described([A100, T4]))
    assert rich == {
        "temperature_c": 41, "power_w": 62.5, "clock_hz": None, "busy": 0.37, "memory_busy": 0.18,
        "available_bytes": 78 * GIB,
    }  # fmt: skip
    assert poor == dict.fromkeys(rich) | {"available_bytes": 16 * GIB}


def _readings(folder, library, build, text):
    code = (
        "import json\n"
        "from deepseek_cuda.discovery.nvml import readings\n"
        "from deepseek_cuda.probe import survey\n"
        "print(json.dumps([dict(readings(unit)) for unit in survey().view.units]))"
    )
    environment = machines.environment(folder, library, build, text)
    return json.loads(machines.run(environment, "-c", code).splitlines()[-1])


def test_the_probe_makes_no_context_and_imports_nothing_heavy(tmp_path, library, build):
    """No module of CUDA is loaded, and numpy and torch are not."""
    code = (
        "import sys, deepseek_cuda.probe as p; list(p.probe());"
        "maps = open('/proc/self/maps').read();"
        "print({'numpy', 'torch', 'onnx'} & set(sys.modules), 'libcuda.so' in maps)"
    )
    environment = machines.environment(tmp_path, library, build, described([A100]))
    assert machines.run(environment, "-c", code).splitlines()[-1] == "set() False"
