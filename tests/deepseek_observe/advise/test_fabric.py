"""Fat trees, clusters out of files, and what hardware to take."""

import itertools

import pytest

from deepseek_core import errors
from deepseek_observe.advise.cluster_file import read_cluster, read_tree
from deepseek_observe.advise.fat_tree import FatTree, Tier, advise_tree, k_port
from deepseek_observe.advise.hardware.catalogue import DEVICES, PROCESSORS
from deepseek_observe.advise.hardware.choice import budget_of, choose, prices_of
from deepseek_observe.advise.hardware.iteration import all_reduce_s, iterate
from deepseek_observe.advise.hardware.model import shape_of


@pytest.mark.parametrize("ports", [2, 4, 8, 48, 64])
def test_a_tree_of_equal_switches_is_full(ports):
    tree = k_port(ports, host_bits_per_s=100e9)
    assert tree.ports == ports**3 // 4
    assert tree.tiers[-1].switches == (ports // 2) ** 2
    assert tree.oversubscription == 1
    assert tree.bisection_bits_per_s == tree.ports * 100e9 / 2


def test_a_core_of_100_over_an_aggregation_of_40():
    """The worked example: nothing is oversubscribed, and 60 % of the core can't be filled."""
    tree = k_port(48, host_bits_per_s=40e9, edge_bits_per_s=40e9, core_bits_per_s=100e9)
    assert [tier.oversubscription for tier in tree.tiers] == [1.0, pytest.approx(0.4), None]
    assert tree.oversubscription == 1
    told = {one.rule: one for one in advise_tree(tree, 200e9)}
    assert "60% of its 100 Gbit/s uplinks" in told["tier-idle"].what
    assert told["tier-idle"].why.startswith("10 of 24 uplinks")
    assert "5:1 before the first switch" in told["adapter-faster-than-port"].what
    fast = k_port(48, host_bits_per_s=100e9, edge_bits_per_s=40e9, core_bits_per_s=100e9)
    assert fast.oversubscription == pytest.approx(2.5)
    (warned,) = [one for one in advise_tree(fast) if one.kind.value == "warning"]
    assert "edge is oversubscribed 2.5:1" in warned.what


def test_oversubscription_against_the_flow_that_passes():
    """The most that all ports can send through the top at once, counted link by link."""
    for down, up, mid_up in itertools.product((8, 12), (4, 8), (2, 4)):
        tiers = (
            Tier(name="leaf", switches=16, down=down, down_bits_per_s=1.0, up=up,
                 up_bits_per_s=1.0),
            Tier(name="spine", switches=8, down=2 * up, down_bits_per_s=1.0, up=mid_up,
                 up_bits_per_s=1.0),
            Tier(name="core", switches=2, down=4 * mid_up, down_bits_per_s=1.0),
        )  # fmt: skip
        tree = FatTree(tiers=tiers)
        most = min(16 * down, 16 * up, 8 * mid_up)
        assert tree.oversubscription == pytest.approx(16 * down / most)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: k_port(3, host_bits_per_s=1.0), "even number"),
        (lambda: k_port(2048, host_bits_per_s=1.0), "1024 at most"),
        (lambda: FatTree(tiers=()), "without uplinks"),
        (lambda: FatTree(tiers=(Tier(name="a", switches=1, down=1, down_bits_per_s=1.0, up=1,
                                     up_bits_per_s=1.0),)), "without uplinks"),
        (lambda: Tier(name="a", switches=0, down=1, down_bits_per_s=1.0), "switches of the tier"),
        (lambda: Tier(name="a", switches=1, down=1, down_bits_per_s=1.0, up=1), "without a rate"),
        (lambda: Tier(name="a", switches=1, down=1, down_bits_per_s=float("nan")), "is nan"),
    ],
)  # fmt: skip
def test_a_tree_that_can_not_be(made, told):
    with pytest.raises(errors.InputError, match=told):
        made()


def test_a_tree_out_of_a_file(tmp_path):
    path = tmp_path / "tree.toml"
    path.write_text("ports = 64\nhost_bits_per_s = 400e9\nrails = 8\n")
    tree = read_tree(path)
    assert (tree.ports, tree.rails) == (65_536, 8)
    assert [one.variable for one in advise_tree(tree) if one.kind.value == "set"] == [
        "NCCL_CROSS_NIC", "NCCL_IB_QPS_PER_CONNECTION"
    ]  # fmt: skip
    path.write_text(
        "rails = 2\n[[tier]]\nname = 'leaf'\nswitches = 4\ndown = 32\ndown_bits_per_s = 100e9\n"
        "up = 8\nup_bits_per_s = 100e9\n"
        "[[tier]]\nname = 'spine'\nswitches = 2\ndown = 16\ndown_bits_per_s = 100e9\n"
    )
    assert read_tree(path).oversubscription == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "describes no tree"),
        ("ports = 64", "does not give host_bits_per_s"),
        ("port = 64", "unknown key 'port' -> did you mean"),
        ("ports = '64'\nhost_bits_per_s = 1e9", "a switch of '64' ports"),
        ("[[tier]]\nname = 'a'", "does not give switches"),
        ("tier = 3", "describes no tree"),
        ("rails = 0\n[[tier]]\nname='a'\nswitches=1\ndown=1\ndown_bits_per_s=1e9", "rails is 0"),
        ("[[", "broken TOML"),
    ],
)
def test_a_file_that_is_no_tree(tmp_path, text, told):
    path = tmp_path / "tree.toml"
    path.write_text(text)
    with pytest.raises(errors.DeepSeekError, match=told):
        read_tree(path)


def test_a_cluster_is_written_as_train_plan_has_it(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text(
        '[[group]]\ngpu = "a100-80g"\nnodes = 2\nbetween = { bytes_per_s = 12.5e9 }\n'
        '[[group]]\nname = "own"\nnodes = 1\ngpus_per_node = 4\nflops_per_s = { bf16 = 165e12 }\n'
        "memory_nbytes = 24e9\nmemory_bytes_per_s = 1.0e12\n"
        "inside = { bytes_per_s = 25e9, latency_s = 1e-5 }\n"
        "between = { bytes_per_s = 1.25e9, latency_s = 3e-5 }\n"
    )
    cluster = read_cluster(str(path))
    assert cluster.world == 20
    assert cluster.groups[0].between.bytes_per_s == 12.5e9
    assert read_cluster("a100-80g:2,h100-80g:1").world == 24


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a100-80g", "how many nodes"),
        ("a100:2", "not a known GPU -> did you mean 'a100-80g'"),
        ("a100-80g:0", "how many nodes"),
        ("none.toml", "can't be read"),
    ],
)
def test_a_cluster_that_is_none(text, told):
    with pytest.raises(errors.DeepSeekError, match=told):
        read_cluster(text)


def test_known_devices_have_a_source_and_a_host():
    assert "a100-80g" in DEVICES
    assert DEVICES["a100-80g"].host == "epyc-7763"
    for device in DEVICES.values():
        assert device.host in PROCESSORS
        assert device.source
        assert PROCESSORS[device.host].source


def test_16_bytes_a_parameter_and_activations_of_the_paper():
    shape = shape_of("175b")
    assert shape.states_nbytes(1) == 16 * 175e9
    # Korthikanti et al., section 4: 34 + 5 a s / h is 114 for GPT-3 175B.
    assert shape.activations_nbytes(1, "none") / shape.activations_nbytes(
        1, "selective"
    ) == pytest.approx(114 / 34, rel=0.01)


@pytest.mark.parametrize("text", ["", "7", "7x", "-7b", "1e9", "0b", "nan"])
def test_a_size_that_is_none(text):
    with pytest.raises(errors.ConfigError, match="not the size of a model"):
        shape_of(text)


@pytest.mark.parametrize(
    ("size", "gpus", "seconds"),
    [("22b", 8, 1.10), ("175b", 64, 13.75), ("530b", 280, 37.83), ("1t", 512, 71.49)],
)
def test_a_step_takes_the_time_that_was_published(size, gpus, seconds):
    """Selective recomputation on A100: arXiv 2205.05198, table 5; 22B with 4 sequences."""
    sequences = 4 if size == "22b" else gpus
    step = iterate(read_cluster(f"a100-80g:{gpus // 8}"), shape_of(size), sequences * 2048)
    assert step.compute_s == pytest.approx(seconds, rel=0.22)
    assert step.least_s <= step.most_s


def test_what_does_not_fit_is_told():
    assert not iterate(read_cluster("a100-80g:1"), shape_of("175b"), 4e6).fits
    step = iterate(read_cluster("a100-80g:16"), shape_of("175b"), 4e6)
    assert step.fits
    assert step.needed_nbytes > 16 * 175e9 / 128


def test_the_exchange_falls_with_faster_links_and_is_nothing_alone():
    shape = shape_of("7b")
    slow, fast = (all_reduce_s(read_cluster(name), 1e9) for name in ("v100-32g:4", "h100-80g:4"))
    assert slow > 3 * fast
    alone = DEVICES["a100-80g"].group(1)
    assert all_reduce_s(read_cluster("a100-80g:1"), 1e9) == pytest.approx(
        2 * 1e9 * 7 / 8 / alone.inside.bytes_per_s, rel=0.05
    )
    assert iterate(read_cluster("a100-80g:1"), shape, 1e6).exchange_s > 0


def test_what_keeps_the_budget_comes_first_and_says_what_is_against_it():
    found = choose(shape_of("13b"), budget_of(["256gpus", "60d"]))
    kept = [one for one in found if not one.missing]
    assert kept
    assert list(found[: len(kept)]) == kept
    assert all(one.gpus <= 256 and one.seconds <= 60 * 86400 for one in kept)
    a100 = next(one for one in found if one.device.name == "a100-80g")
    assert any("no FP8" in line for line in a100.against)
    assert any("EPYC 7763" in line for line in a100.against)


def test_fewer_nodes_would_not_end_in_time():
    (one, *_) = choose(shape_of("7b"), budget_of(["3d"]))
    assert one.nodes > 1
    fewer = iterate(
        read_cluster(f"{one.device.name}:{one.nodes - 1}"), shape_of("7b"), 4e6,
        recompute=one.recompute,
    )  # fmt: skip
    assert 140e9 / 4e6 * (fewer.least_s + fewer.most_s) / 2 > 3 * 86400


def test_a_part_of_a_system_may_be_enough():
    (one, *_) = choose(shape_of("350m"), budget_of(["4gpus"]))
    assert (one.gpus, one.nodes, one.missing) == (4, 1, ())


def test_money_wants_prices():
    with pytest.raises(errors.ConfigError, match="needs prices"):
        choose(shape_of("7b"), budget_of(["1000usd"]))
    found = choose(
        shape_of("7b"), budget_of(["100000usd"]), prices=prices_of(["a100-80g=1.5", "h100-80g=2"])
    )
    assert {one.device.name for one in found} == {"a100-80g", "h100-80g"}
    for one in found:
        price = {"a100-80g": 1.5, "h100-80g": 2}[one.device.name]
        assert one.usd == pytest.approx(price * one.gpus * one.seconds / 3600)


@pytest.mark.parametrize("words", [["64"], ["1gpus", "2gpus"], ["1.5gpus"], ["0d"], ["-3d"], ["x"]])
def test_a_budget_that_is_none(words):
    with pytest.raises(errors.ConfigError):
        budget_of(words)


@pytest.mark.parametrize("word", ["a100-80g", "a100=1", "a100-80g=x", "a100-80g=-1"])
def test_a_price_that_is_none(word):
    with pytest.raises(errors.ConfigError, match="not a price"):
        prices_of([word])
