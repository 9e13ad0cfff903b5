"""Files about machines: read whole, or refused by name with the reason."""

import pytest
from advised import DATA, machine

from deepseek_core import errors
from deepseek_observe.advise.pairing import commands, pairs
from deepseek_observe.advise.topology.opening import parse_topology, read_topology

READ = {
    "smi/a100x8_nv12_spaces.txt": (8, 0, 12),
    "smi/dgx_h200x8_12nic_tabs.txt": (8, 12, 18),
    "smi/gb200x4_8nic_spaces.txt": (4, 8, 18),
    "smi/h200x8_6nic_partial_cpus.txt": (8, 6, 18),
    "smi/h200x8_8nic_tabs.txt": (8, 8, 18),
    "smi/rtx5090x2_phb_tabs.txt": (2, 0, 0),
    "smi/v100x4_nv3_4nic_oldformat_tabs.txt": (4, 4, 3),
    "xml/24em64t-2n6c2t-pci.xml": (3, 3, 0),
    "xml/aws_p4d-24xl-topo.xml": (8, 4, 0),
    "xml/azure_ncv4-topo.xml": (4, 1, 12),
    "xml/azure_ndv2-topo.xml": (8, 1, 0),
    "xml/azure_ndv4-topo.xml": (8, 8, 0),
    "xml/nvidia-dgx-gb10.xml": (0, 0, 0),
    "xml/topo_3p_pcie.xml": (3, 1, 0),
    "xml/topo_8p_940.xml": (8, 8, 0),
    "lscpu_2x24.json": (0, 0, 0),
}


@pytest.mark.parametrize("name", sorted(READ))
def test_a_file_is_read_whole(name):
    found = machine(name)
    assert (len(found.gpus), len(found.nics), found.lanes("NV")) == READ[name]
    assert all(pair.nic is not None for pair in pairs(found)) == bool(found.nics) or not found.gpus


def test_every_file_at_hand_is_tried():
    files = {
        str(path.relative_to(DATA)) for kind in ("smi", "xml") for path in (DATA / kind).iterdir()
    }
    assert files - set(READ) == {"xml/ncv4_graph.xml"}


def test_rings_of_nccl_are_no_topology():
    with pytest.raises(errors.ArtifactError, match=r"ncv4_graph.xml is not a topology -> .*rings"):
        read_topology(DATA / "xml" / "ncv4_graph.xml")


def test_ndv4_pairs_as_azure_publishes_them():
    """One adapter for each GPU, and ranks in the order of NUMA nodes take GPUs 2,3,0,1,6,7,4,5."""
    found = pairs(machine("xml/azure_ndv4-topo.xml"))
    buses = [(pair.gpu.bus, pair.nic.bus) for pair in found]
    assert buses == [
        ("0001:00:00.0", "0101:00:00.0"), ("0002:00:00.0", "0102:00:00.0"),
        ("0003:00:00.0", "0103:00:00.0"), ("0004:00:00.0", "0104:00:00.0"),
        ("000b:00:00.0", "0105:00:00.0"), ("000c:00:00.0", "0106:00:00.0"),
        ("000d:00:00.0", "0107:00:00.0"), ("000e:00:00.0", "0108:00:00.0"),
    ]  # fmt: skip
    by_node = sorted(found, key=lambda pair: (pair.numa, pair.gpu.index))
    assert [pair.gpu.index for pair in by_node] == [2, 3, 0, 1, 6, 7, 4, 5]


def test_p4d_pairs_as_aws_publishes_them():
    """Two GPUs and one adapter behind each of four switches, two switches on each socket."""
    found = pairs(machine("xml/aws_p4d-24xl-topo.xml"))
    assert [pair.nic.bus for pair in found] == [
        bus for bus in ("0000:10:1b.0", "0000:20:1b.0", "0000:90:1b.0", "0000:a0:1b.0")
        for _ in range(2)
    ]  # fmt: skip
    assert {pair.distance for pair in found} == {"PIX"}
    assert [pair.numa for pair in found] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_dgx_pairs_leave_the_adapters_of_storage_out():
    """The eight of twelve that DGX SuperPOD's NCCL_IB_HCA names."""
    found = pairs(machine("smi/dgx_h200x8_12nic_tabs.txt"))
    assert [pair.nic.device for pair in found] == [f"mlx5_{n}" for n in (0, 3, 4, 5, 6, 9, 10, 11)]
    assert {pair.distance for pair in found} == {"PXB"}


def test_adapters_in_another_order_than_gpus():
    found = pairs(machine("smi/h200x8_8nic_tabs.txt"))
    assert [pair.nic.device for pair in found] == [f"mlx5_{n}" for n in (4, 1, 0, 3, 6, 7, 5, 2)]


def test_gpus_without_an_adapter_leave_the_near_ones_to_their_own():
    found = pairs(machine("smi/h200x8_6nic_partial_cpus.txt"))
    own = {pair.gpu.index: pair.nic.name for pair in found if pair.distance == "PIX"}
    assert own == {0: "NIC0", 3: "NIC2", 4: "NIC3", 6: "NIC5"}


def test_processors_of_a_part_are_not_taken_for_all():
    assert machine("smi/h200x8_6nic_partial_cpus.txt").cpus is None
    assert machine("smi/a100x8_nv12_spaces.txt", "lscpu_2x24.json").cpus == 48


def test_lines_to_paste_bind_to_the_node():
    lines = commands(pairs(machine("xml/topo_8p_940.xml")))
    assert lines[4].startswith("HIP_VISIBLE_DEVICES=4 numactl --cpunodebind=1 --membind=1 ")
    assert lines[4].endswith("# GPU4 -> mlx5_4 (PXB), NUMA 1")


def test_a_console_is_no_gpu_and_a_card_of_a_socket_is_near_it():
    found = machine("xml/24em64t-2n6c2t-pci.xml")
    assert [(gpu.bus, gpu.numa) for gpu in found.gpus] == [
        ("0000:06:00.0", 0), ("0000:11:00.0", 1), ("0000:14:00.0", 1)
    ]  # fmt: skip
    assert [nic.name for nic in found.nics] == ["eth0", "eth1", "mlx4_0"]
    assert {pair.nic.name for pair in pairs(found)} == {"mlx4_0"}  # not a port of 1 Gbit/s
    assert found.distance("eth0", "eth1") == "PIX"
    assert found.distance("GPU1", "GPU2") == "PHB"
    assert found.distance("GPU0", "GPU1") == "SYS"


OLD = (DATA / "smi" / "v100x4_nv3_4nic_oldformat_tabs.txt").read_text()


@pytest.mark.parametrize(
    "changed",
    [
        OLD.replace("\n", "\r\n"),
        OLD.replace("\tGPU0", "\t\x1b[4mGPU0", 1).replace("CPU Affinity", "CPU Affinity\x1b[0m"),
        OLD.expandtabs(8),
        "```\n$ nvidia-smi topo -m\n" + OLD + "```\n",
        OLD.lstrip("\t"),
        "\ufeff" + OLD,
        OLD.replace("SYS\t", "SOC\t"),
        OLD + "\n \tGPU0\tGPU1\t\n GPU0\tX\tOK\t\n GPU1\tOK\tX\t\n",
    ],
    ids=["windows", "underlined", "spaces", "pasted", "stripped", "mark", "old word", "access too"],
)
def test_a_matrix_as_people_paste_it(changed):
    found, whole = parse_topology(changed, "topo.txt"), parse_topology(OLD, "topo.txt")
    assert found.gpus == whole.gpus
    assert found.distances == whole.distances


def test_a_file_of_powershell(tmp_path):
    path = tmp_path / "topo.txt"
    path.write_bytes(OLD.encode("utf-16"))
    assert len(read_topology(path).gpus) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n".join(line[:22] for line in OLD.splitlines()), "cells|cut"),
        ("\n".join(OLD.splitlines()[:3]), "no row of GPU2, GPU3: it is cut"),
        (OLD.replace("NODE", "N0DE", 1), "which is not a connection"),
        (" \tGPU0\tGPU1\t\n GPU0\tX\tOK\t\n GPU1\tOK\tX\t\n", "topo -p2p"),
        ("GPU 0: NVIDIA H100 (UUID: GPU-1)\n", "nvidia-smi -L"),
        ("<nvidia_smi_log><gpu/></nvidia_smi_log>", "nvidia-smi -q -x"),
        ("<system version='1'/>", "without a <cpu>"),
        ("<system><cpu numaid='x'/></system>", "a value can't be"),
        ("<system><cpu affinity='zz'/></system>", "a value can't be"),
        ("<topology><object type='Machine'/></topology>", "hwloc 1.x"),
        ("<html></html>", "another kind, <html>"),
        ("<system><cpu>", "broken XML"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><system>&a;</system>', "declares XML entities"),
        ("", "is empty"),
        ("hello", "not a topology of a kind"),
        ("{", "broken JSON"),
        ("[1]", "another kind"),
        ('{"lscpu": []}', "names no processors"),
        ("====== ROCm System Management Interface ======", "rocm-smi"),
        ("host:1:2 [0] NCCL INFO Bootstrap", "--nccl-log"),
        ("available: 2 nodes (0-1)", "numactl"),
        ("Machine (31GB total)\n  Package L#0", "lstopo"),
        ("<system>" + "<cpu>" + "<pci class='0x060400'>" * 90 + "</pci>" * 90 + "</cpu></system>",
         "bridges in a row"),
    ],
)  # fmt: skip
def test_what_is_none_is_told_by_name(text, told):
    with pytest.raises(errors.ArtifactError, match=told) as refused:
        parse_topology(text, "given.txt")
    assert "given.txt" in str(refused.value)
    assert refused.value.remedy


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "huge.xml"
    with path.open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(errors.ArtifactError, match="more than 16 MiB"):
        read_topology(path)


def test_a_folder_and_nothing_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(errors.ArtifactError, match="can't be read"):
            read_topology(path)


def test_devices_that_the_file_does_not_name_are_told():
    """As aws-ofi-nccl's file of g5.48xlarge, which gives the NUMA node of addresses alone."""
    found = parse_topology(
        "<system><cpu numaid='0'><pci busid='0000:00:16.0'/></cpu></system>", "x"
    )
    assert found.gpus == ()
    assert "1 PCI devices have no class" in found.notes[0]


def test_what_a_file_does_not_place_has_no_distance():
    def card(bus, kind):
        return (
            f'<object type="Bridge" bridge_type="0-1" bridge_pci="{bus}"><object type="PCIDev" '
            f'pci_busid="{bus}:00.0" pci_type="{kind} [10de:2330] [0:0] 01 00"/></object>'
        )

    found = parse_topology(
        '<topology version="2.0"><object type="Machine" nodeset="0x3" cpuset="0x3">'
        + card("0000:01", "0302") + card("0000:02", "0207") + "</object></topology>",
        "made.xml",
    )  # fmt: skip
    assert found.distance("GPU0", "NIC0") is None
    assert found.near(found.gpus[0]) == ()
    assert pairs(found)[0].nic is None


def test_both_ports_of_a_switch_are_one_switch_in_hwloc():
    def bridge(bus, inner):
        return f'<object type="Bridge" bridge_type="1-1" pci_busid="{bus}">{inner}</object>'

    def device(bus, kind):
        return (
            f'<object type="PCIDev" pci_busid="{bus}" pci_type="{kind} [10de:2330] [0:0] 01 00"/>'
        )

    near = bridge("0000:02:00.0", device("0000:03:00.0", "0302"))
    beside = bridge("0000:02:01.0", device("0000:04:00.0", "0207"))
    further = bridge("0000:02:02.0", bridge("0000:05:00.0", bridge("0000:06:00.0",
                     device("0000:07:00.0", "0207"))))  # fmt: skip
    tree = bridge("0000:00:01.0", bridge("0000:01:00.0", near + beside + further))
    found = parse_topology(
        '<topology version="2.0"><object type="Machine" nodeset="0x1" cpuset="0x3">'
        '<object type="NUMANode" os_index="0" cpuset="0x3" nodeset="0x1"/>'
        f'<object type="Bridge" bridge_type="0-1" bridge_pci="0000:[00-07]">{tree}</object>'
        "</object></topology>",
        "made.xml",
    )
    assert [found.distance("GPU0", nic.name) for nic in found.nics] == ["PIX", "PXB"]
