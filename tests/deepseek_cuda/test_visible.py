"""CUDA_VISIBLE_DEVICES and MIG leave what CUDA would leave; what can't be told is said."""

import pytest

from deepseek_cuda.discovery.gpus import Gpu, Instance
from deepseek_cuda.discovery.visible import view


def gpu(index, name="A100", **more):
    uuid = f"GPU-{index}abc{index}-{name.lower()}"
    return Gpu(index=index, uuid=uuid, name=name, bus_id=f"0000:0{index}:00.0", **more)


def instance(number):
    return Instance(
        uuid=f"MIG-{number}", name=f"MIG {number}", gpu_instance=number, compute_instance=0,
        mem_bytes=None,
    )  # fmt: skip


FOUR = [gpu(0), gpu(1), gpu(2), gpu(3)]
UNEQUAL = [gpu(0, "T4"), gpu(1, "A100")]
DIVIDED = [gpu(0), gpu(1, "H100", has_mig=True, instances=(instance(5), instance(7)))]


def ids(gpus, value=None, order=None):
    pairs = {"CUDA_VISIBLE_DEVICES": value, "CUDA_DEVICE_ORDER": order}
    return [u.id for u in view(gpus, {k: v for k, v in pairs.items() if v is not None}).units]


def test_without_the_variable_all_are_seen():
    assert ids(FOUR) == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("2", [2]),
        ("3,0", [3, 0]),
        (" 1 , 2 ", [1, 2]),
        ("", []),
        ("-1", []),
        ("1,-1,2", [1]),
        ("1,9,2", [1]),
        ("0,0", []),
        ("none", []),
        ("2gpu", [2]),
        ("GPU-2abc2-a100", [2]),
        ("GPU-2", [2]),
        ("GPU-3,GPU-1", [3, 1]),
        ("GPU-", []),
        ("GPU-3,GPU-9,GPU-1", [3]),
        ("GPU-1,GPU-1abc1", []),
        ("GPU-1,2", [1]),
        ("gpu-1", []),
    ],
)
def test_entries_are_read_as_cuda_reads_them(value, seen):
    assert ids(FOUR, value) == [f"cuda:{number}" for number in seen]


@pytest.mark.parametrize("value", ["", "-1", "GPU-9", "0,0"])
def test_what_hides_every_gpu_is_named(value):
    refusal = view(FOUR, {"CUDA_VISIBLE_DEVICES": value}).refusal
    assert refusal.reason == f"CUDA_VISIBLE_DEVICES={value!r} hides every GPU"
    assert refusal.remedy == "unset CUDA_VISIBLE_DEVICES"


def test_numbers_of_unequal_cards_are_no_fact_until_they_are_those_of_the_bus():
    """CUDA counts the fastest first; NVML can't tell which one that is."""
    seen = view(UNEQUAL, {"CUDA_VISIBLE_DEVICES": "0"})
    assert seen.units == ()
    assert seen.refusal.remedy == "export CUDA_DEVICE_ORDER=PCI_BUS_ID"
    assert ids(UNEQUAL, "0", "PCI_BUS_ID") == ["cuda:0"]
    assert ids(UNEQUAL, "1,0") == ["cuda:1", "cuda:0"], "all of them, in whatever order"
    assert ids(UNEQUAL, "GPU-1") == ["cuda:1"], "names need no order"
    assert ids(UNEQUAL, "-1") == []


def test_a_missing_card_makes_numbers_uncertain():
    gpus = [gpu(0), Gpu(index=1, fault="lost", words="GPU is lost"), gpu(2)]
    assert ids(gpus) == ["cuda:0", "cuda:2"]
    refusal = view(gpus, {"CUDA_VISIBLE_DEVICES": "1"}).refusal
    assert "GPU 1 is missing" in refusal.reason
    assert refusal.remedy == f"export CUDA_VISIBLE_DEVICES={gpus[0].uuid}"
    assert ids(gpus, "GPU-2") == ["cuda:2"]


def test_a_gpu_that_this_process_may_not_open_is_not_counted():
    gpus = [Gpu(index=0, fault="denied", words="Insufficient Permissions"), gpu(1), gpu(2)]
    assert ids(gpus, "0") == ["cuda:1"]
    assert ids(gpus, "1,0") == ["cuda:2", "cuda:1"]
    assert ids(gpus, "2") == []


def test_a_job_of_slurm_without_a_gpu_is_told_how_to_get_one():
    refusal = view(FOUR, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}).refusal
    assert refusal.remedy == "srun --gpus=1 COMMAND"


def test_a_process_gets_one_instance_and_no_gpu_beside_it():
    seen = view(DIVIDED, {})
    assert [unit.id for unit in seen.units] == ["cuda:0", "cuda:1:5:0", "cuda:1:7:0"]
    assert set(seen.refused) == {"cuda:0", "cuda:1:7:0"}
    assert "CUDA takes cuda:1:5:0" in seen.refused["cuda:0"].reason
    assert seen.refused["cuda:1:7:0"].remedy == "export CUDA_VISIBLE_DEVICES=MIG-7"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("MIG-7", ["cuda:1:7:0"]),
        ("MIG-GPU-1abc1-h100/5/0", []),  # not in the form of a UUID
        ("GPU-0", ["cuda:0"]),
        ("GPU-1", ["cuda:1:5:0", "cuda:1:7:0"]),
        ("1", []),
        ("MIG-", []),
        ("MIG-9", []),
    ],
)
def test_instances_are_named_by_their_uuid(value, seen):
    assert ids(DIVIDED, value) == seen


def test_instances_are_named_in_the_older_form():
    uuid = "GPU-12ab"
    card = Gpu(index=1, uuid=uuid, name="H100", has_mig=True, instances=(instance(5), instance(7)))
    assert ids([card], f"MIG-{uuid}/7/0") == ["cuda:1:7:0"]
    assert ids([card], f"MIG-{uuid}/8/0") == []


def test_mig_without_an_instance_is_told():
    seen = view([gpu(0, has_mig=True)], {})
    assert seen.refused["cuda:0"].remedy.startswith("nvidia-smi mig -i 0 -cgi 0 -C")
