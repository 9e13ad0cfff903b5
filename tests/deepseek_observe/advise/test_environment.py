"""Environments: published ones are left alone, and planted mistakes are named."""

import pytest
from advised import CLEAN, PLANTED, alarms, clean_text, machine

from deepseek_core import errors
from deepseek_observe.advise.environment.lint import RULES, lint
from deepseek_observe.advise.environment.reading import parse_environment
from deepseek_observe.advise.environment.rule import Case
from deepseek_observe.advise.environment.variables import DEBUGGING, DEFAULTS, SYSTEM


def test_the_guide_has_44_of_the_system_and_69_for_debugging():
    assert (len(SYSTEM), len(DEBUGGING)) == (44, 69)
    assert not set(SYSTEM) & set(DEBUGGING)
    assert set(DEFAULTS) <= set(DEBUGGING)


@pytest.mark.parametrize("name", CLEAN)
def test_what_a_provider_publishes_is_no_mistake(name):
    assert len(CLEAN) == 5
    assert alarms(clean_text(name)) == []


@pytest.mark.parametrize("one", PLANTED, ids=lambda one: one["name"])
def test_a_planted_mistake_is_named_and_nothing_else(one):
    topology = machine(*one["topology"]) if "topology" in one else None
    text = clean_text(one["base"]) + "\n".join(one["lines"])
    assert [(found.rule, found.variable) for found in alarms(text, topology)] == [
        (one["rule"], one["variable"])
    ]


def test_what_is_published_for_a_machine_is_no_mistake_on_it():
    assert alarms(clean_text("dgx_infiniband"), machine("smi/dgx_h200x8_12nic_tabs.txt")) == []
    assert alarms(clean_text("azure_nd"), machine("xml/azure_ndv4-topo.xml")) == []
    assert alarms(clean_text("aws_efa"), machine("xml/aws_p4d-24xl-topo.xml")) == []
    assert alarms(clean_text("plain_ethernet"), machine("xml/azure_ncv4-topo.xml")) == []


def test_what_google_asks_for_is_a_mistake_elsewhere():
    text = "export NCCL_ALGO=Ring,Tree\nexport NCCL_NVLS_ENABLE=0\n"
    assert {one.variable for one in alarms(text)} == {"NCCL_ALGO", "NCCL_NVLS_ENABLE"}
    assert alarms(text + "export NCCL_FASTRAK_USE_SNAP=1\n") == []


@pytest.mark.parametrize("name", DEBUGGING)
def test_each_of_the_69_is_named_when_it_is_set_and_left_alone_at_its_default(name):
    odd = {"NCCL_P2P_LEVEL": "PIX", "NCCL_NET_GDR_LEVEL": "PIX"}.get(name, "0")
    if DEFAULTS.get(name) == "0":
        odd = "1"
    assert name in {one.variable for one in alarms(f"{name}={odd}")} or name in (
        "NCCL_IB_QPS_PER_CONNECTION", "NCCL_IB_SPLIT_DATA_ON_QPS"
    )  # fmt: skip
    if name in DEFAULTS and name not in ("NCCL_CHECKS_DISABLE", "NCCL_CHECK_POINTERS",
                                         "NCCL_LAUNCH_MODE"):  # fmt: skip
        assert alarms(f"{name}={DEFAULTS[name]}") == []


def test_every_advice_has_a_reason_a_source_and_lines_that_a_shell_takes():
    for one in PLANTED:
        topology = machine(*one["topology"]) if "topology" in one else None
        for found in alarms(clean_text(one["base"]) + "\n".join(one["lines"]), topology):
            assert found.why
            assert found.source
            assert all(line.startswith(("export ", "unset ")) for line in found.paste)


def test_what_the_shell_would_put_there_is_not_judged():
    assert alarms("NCCL_SOCKET_IFNAME=^$MINE\nNCCL_DEBUG=${LEVEL}\nNCCL_CROSS_NIC=$C") == []


def test_names_of_rules_are_single():
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=1", {"A": "1"}),
        ("export A=1 B=2  # why", {"A": "1", "B": "2"}),
        ("A='x y'", {"A": "x y"}),
        ('declare -x A="x"', {"A": "x"}),
        ("  A=1 # why\n#B=2\n\n", {"A": "1"}),
        ("LS=a b c", {"LS": "a b c"}),
        ("export A=1 \\\n  B=2", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\0B=x\ny\0", {"A": "1", "B": "x\ny"}),
        ("A=1\nunset A\nB=2", {"B": "2"}),
        ("NCCL_IB_HCA==mlx5_0", {"NCCL_IB_HCA": "=mlx5_0"}),
        ("export A='open\nB=2", {"A": "'open", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("if [ 1 = 1 ]; then\nA=1\nfi", {"A": "1"}),
        ("if true; then export A=1; fi", {"A": "1"}),
        ("A=1 B=2 torchrun train.py", {"A": "1", "B": "2"}),
        ("NCCL_ALGO=Ring python3 train.py", {"NCCL_ALGO": "Ring"}),
        ("mpirun -np 2 -x A=1 -x PATH ./all_reduce_perf -b 8", {"A": "1"}),
        ("docker run --env A=1 -e B=2 image", {"A": "1", "B": "2"}),
        ("sbatch --export=ALL,A=1,B=2 job.sh", {"A": "1", "B": "2"}),
        ("FROM x\nENV A=1 B=2\nENV C 3", {"A": "1", "B": "2", "C": "3"}),
        ('env:\n- name: A\n  value: "1"\n- name: B\n  valueFrom: x', {"A": "1"}),
        ('environment:\n  NCCL_DEBUG: "WARN"', {"NCCL_DEBUG": "WARN"}),
        (
            "A=1\nB=$A/x\nC=${A:-2}\nD=${E:-3}\nF=$G",
            {"A": "1", "B": "1/x", "C": "1", "D": "3", "F": "$G"},
        ),
    ],
)
def test_assignments_as_files_have_them(text, told):
    assert parse_environment(text, "x").values == told


def test_the_last_of_two_holds_and_both_are_told():
    found = parse_environment("NCCL_DEBUG=WARN\nNCCL_DEBUG=INFO\nA=1\nA=1\n", "x")
    assert found.values["NCCL_DEBUG"] == "INFO"
    assert found.twice == {"NCCL_DEBUG": ("WARN", "INFO")}
    (one,) = lint(Case(env=found.values, twice=found.twice))
    assert one.rule == "set-twice"


@pytest.mark.parametrize("text", ["", "hello", "#A=1", "\0\0"])
def test_no_assignment_is_told(text):
    with pytest.raises(errors.ArtifactError, match="no line NAME=VALUE"):
        parse_environment(text, "x")


def test_prefixes_take_more_adapters_than_are_named():
    text = (machine("smi/h200x8_8nic_tabs.txt"), "NCCL_IB_HCA=mlx5_0,mlx5_1")
    assert "hca-prefix" not in {one.rule for one in alarms(text[1], text[0])}
    many = machine("smi/h200x8_8nic_tabs.txt")
    twelve = many.nics + tuple(
        type(many.nics[0])(name=f"NIC{n}", device=f"mlx5_{n}") for n in range(8, 12)
    )
    import attrs

    case = Case(env={"NCCL_IB_HCA": "mlx5_1"}, topology=attrs.evolve(many, nics=twelve))
    assert "hca-prefix" in {one.rule for one in lint(case)}


@pytest.mark.parametrize(
    "name",
    """SHARP_DISABLE IBEXT_DISABLE PLUGIN_P2P VERSION HOME ROOT LIB_DIR TIMEOUT TUNER_CONFIG_PATH
    DYNAMIC_CHUNK_SIZE SHIMNET_SHIM_LAYERS TESTS_DEVICE USE_SNAP P2P_CHUNKSIZE GDRCOPY_ENABLE
    FASTRAK_IFNAME GPUDIRECTTCPX_SOCKET_IFNAME INSPECTOR_ENABLE UCX_TLS LL_BUFFSIZE""".split(),  # noqa: SIM905  # a row of names
)
def test_names_of_plugins_and_recipes_are_not_taken_for_mistyped(name):
    assert alarms(f"NCCL_{name}=1") == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SOCKET_INFAME", "SOCKET_IFNAME"), ("SOCKET_IF_NAME", "SOCKET_IFNAME"),
        ("IB_HCAS", "IB_HCA"), ("IB_TIMOUT", "IB_TIMEOUT"), ("P2P_DISABLED", "P2P_DISABLE"),
        ("IB_RETRY_COUNT", "IB_RETRY_CNT"), ("NSOCKS_PER_THREAD", "NSOCKS_PERTHREAD"),
    ],
)  # fmt: skip
def test_a_name_that_nothing_reads_is_told_with_the_one_that_is_meant(name, meant):
    (one,) = alarms(f"NCCL_{name}=1")
    assert f"NCCL_{meant} is meant" in one.what


def test_an_interface_that_is_not_there():
    case = Case(env={"NCCL_SOCKET_IFNAME": "ib"}, interfaces=("lo", "eth0"))
    assert [one.rule for one in lint(case)] == ["ifname-absent"]
    assert lint(attrs_evolved(case, ("lo", "ib0"))) == ()


def attrs_evolved(case, interfaces):
    return Case(env=case.env, interfaces=interfaces)


def test_a_port_for_administration_is_not_missed():
    topology = machine("xml/24em64t-2n6c2t-pci.xml")
    assert alarms("NCCL_IB_HCA=mlx4_0", topology) == []


def test_what_is_left_out_need_not_be_there():
    topology = machine("smi/h200x8_8nic_tabs.txt")
    assert alarms("NCCL_IB_HCA=^mlx5_bond_0", topology) == []
    assert alarms("CUDA_VISIBLE_DEVICES=", machine("lscpu_2x24.json")) == []
    assert [one.rule for one in alarms("CUDA_VISIBLE_DEVICES=", topology)] == ["gpus-hidden"]


def test_one_machine_may_use_its_loopback():
    assert alarms("NCCL_SOCKET_IFNAME=lo\nWORLD_SIZE=8\nLOCAL_WORLD_SIZE=8") == []


def test_plain_ethernet_wants_more_sockets():
    (one,) = lint(Case(env={"A": "1"}, topology=machine("xml/azure_ncv4-topo.xml")))
    assert (one.rule, one.kind.value) == ("sockets", "set")


def test_gpus_of_amd_on_pcie_alone():
    (one,) = lint(Case(env={}, topology=machine("xml/topo_3p_pcie.xml")))
    assert one.variable == "HSA_FORCE_FINE_GRAIN_PCIE"
    assert lint(Case(env={}, topology=machine("xml/topo_8p_940.xml"))) == ()
