"""The planner against what was published, and what must hold of any plan."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import ACTIVATIONS_GIB, FULL_S, RUNS, SELECTIVE_S, SMALL, nodes, problem

from deepseek_core import errors
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.exchange import Layout
from deepseek_parallel.planning.cluster import GIB, Cluster, Link
from deepseek_parallel.planning.estimate import Estimate, estimate
from deepseek_parallel.planning.layer import kept_nbytes
from deepseek_parallel.planning.memory import in_flight, stage_parameters
from deepseek_parallel.planning.mesh import SIZES_ALONE, Mesh, Refused, refusal
from deepseek_parallel.planning.model import MODELS, Transformer
from deepseek_parallel.planning.search import Wanted, search
from deepseek_parallel.planning.training import Training

ORDER = "tp-dp-pp"


def published(model, **training):
    mesh, batch = RUNS[model]
    found = estimate(
        problem(model, nodes("a100-80g", mesh.pp), batch=batch, **training), mesh, ORDER
    )
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize("model", RUNS)
def test_full_recompute_takes_as_long_as_was_published(model):
    found = published(model, recompute="full").seconds.total
    assert found == pytest.approx(FULL_S[model], rel=0.03)


@pytest.mark.parametrize("model", RUNS)
def test_times_on_which_no_constant_was_chosen_come_out_too(model):
    found = published(model, recompute="selective", sequence_parallel=True).seconds.total
    assert found == pytest.approx(SELECTIVE_S[model], rel=0.05)


@pytest.mark.parametrize("model", RUNS)
def test_activations_are_those_that_were_published(model):
    none, selective = ACTIVATIONS_GIB[model]
    mesh, _ = RUNS[model]
    plain = Training(batch=1, recompute="none")
    per_layer = kept_nbytes(MODELS[model], mesh, plain, "none")
    layers = MODELS[model].layers / mesh.pp
    flying = in_flight(mesh, 0, RUNS[model][1])
    assert per_layer * layers * flying / GIB == pytest.approx(none, rel=0.001)
    found = published(model, recompute="selective", sequence_parallel=True).memory
    assert found.activations / GIB == pytest.approx(selective, rel=0.001)


def test_models_have_as_many_parameters_as_their_names_say():
    billions = [round(model.parameters / 1e9) for model in MODELS.values()]
    assert billions == [22, 175, 530, 1008]


SIZES = st.sampled_from([1, 2, 4, 8])


@st.composite
def small_runs(draw):
    tp, pp, dp = draw(SIZES), draw(st.sampled_from([1, 2, 3, 4, 6])), draw(SIZES)
    interleave = draw(st.sampled_from([1, 2])) if pp > 1 else 1
    micro = draw(SIZES)
    batch = micro * dp * pp * draw(st.integers(1, 4))
    mesh = Mesh(dp=dp, tp=tp, pp=pp, micro=micro, interleave=interleave)
    gpus = dp * tp * pp
    per_node = 8 if gpus % 8 == 0 else tp
    group = nodes("a100-80g", gpus // per_node, gpus_per_node=per_node)
    made = problem(
        "small", group, batch=batch,
        recompute=draw(st.sampled_from(["none", "selective", "full"])),
        sequence_parallel=draw(st.booleans()),
        compress=draw(st.sampled_from([None, 0.01])),
    )  # fmt: skip
    return made, mesh, draw(st.sampled_from(["tp-dp-pp", "tp-pp-dp"]))


@settings(max_examples=150, deadline=None)
@given(small_runs())
def test_parts_add_up_and_equal_input_gives_equal_output(run):
    made, mesh, order = run
    assert refusal(mesh, made.model, made.cluster, made.training) is None or mesh.interleave > 1
    found = estimate(made, mesh, order)
    assert found == estimate(made, mesh, order)
    assert isinstance(found, Estimate)
    assert sum(attrs.astuple(found.seconds)) == pytest.approx(found.seconds.total)
    parts = attrs.asdict(found.memory)
    owned = sum(parts[n] for n in ("weights", "gradients", "optimizer", "activations", "working"))
    assert owned == found.memory.total <= found.memory.usable
    assert sum(found.cut) == made.model.layers
    assert sum(found.shares) == made.training.batch // mesh.micro
    assert min(attrs.astuple(found.seconds)) >= 0
    assert (found.seconds.data > 0) == (mesh.dp > 1 or mesh.pp > 1)
    assert (found.wire.tensor > 0) == (mesh.tp > 1)


@settings(max_examples=150, deadline=None)
@given(small_runs(), st.sampled_from(["inside", "between", "memory", "flops"]), st.floats(1, 50))
def test_a_faster_machine_is_never_slower(run, what, factor):
    made, mesh, order = run
    group = made.cluster.groups[0]

    def faster_link(link):
        return attrs.evolve(link, bytes_per_s=link.bytes_per_s * factor)

    faster = {
        "inside": {"inside": faster_link(group.inside)},
        "between": {"between": faster_link(group.between)},
        "memory": {"memory_bytes_per_s": group.memory_bytes_per_s * factor},
        "flops": {"flops_per_s": {"bf16": group.peak("bf16") * factor}},
    }[what]
    better = attrs.evolve(made, cluster=Cluster(groups=(attrs.evolve(group, **faster),)))
    before, after = estimate(made, mesh, order), estimate(better, mesh, order)
    assert after.seconds.total <= before.seconds.total * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(small_runs(), st.floats(0.2, 6))
def test_what_is_refused_lacks_just_as_much_as_it_says(run, gib):
    made, mesh, order = run

    def with_memory(nbytes):
        group = attrs.evolve(made.cluster.groups[0], memory_nbytes=nbytes)
        return estimate(attrs.evolve(made, cluster=Cluster(groups=(group,))), mesh, order)

    found = with_memory(gib * GIB)
    if isinstance(found, Refused):
        assert found.dimension == "memory"
        needed = gib * GIB + found.lacking_nbytes / made.assumed.usable
        assert isinstance(with_memory(needed * 1.0001), Estimate)
        assert isinstance(with_memory(needed * 0.9999), Refused)
    else:
        assert found.memory.total <= gib * GIB * made.assumed.usable


def test_compressed_gradients_cost_the_bytes_of_their_exchange():
    mesh = Mesh(dp=8, tp=1, pp=1)
    made = problem("small", nodes("a100-80g", 1), batch=8, compress=0.01)
    found = estimate(made, mesh, ORDER)
    length = round(stage_parameters(SMALL, mesh, SMALL.layers, 0))
    layout = Layout(length=length, ranks=8, ratio=0.01, ratio_of_sum=0.01)
    assert found.wire.data == layout.wire_nbytes
    plain = estimate(attrs.evolve(made, training=Training(batch=8)), mesh, ORDER)
    assert plain.wire.data == 2 * 7 * 4 * length
    assert found.seconds.data < plain.seconds.data / 50


def test_a_slow_network_puts_replicas_side_by_side_in_a_node():
    slow = Link(bytes_per_s=1e9, latency_s=1e-5)
    made = problem("small", nodes("a100-80g", 2, between=slow), batch=64)
    made = attrs.evolve(made, model=attrs.evolve(SMALL, vocabulary=16))  # no embedding to share
    best = search(made, Wanted(dp=8, pp=2)).fitting[0]
    assert best.order == "tp-dp-pp"  # a hop of a pipeline is less than an all-reduce
    other = estimate(made, best.mesh, "tp-pp-dp")
    assert other.seconds.data > 10 * best.seconds.data


def test_replicas_on_slower_gpus_get_fewer_microbatches():
    made = problem("small", nodes("a100-80g", 1), nodes("a100-80g", 1, speed=1 / 3), batch=128)
    found = search(made, Wanted(dp=16, pp=1, micro=1)).fitting[0]
    fast, slow = found.shares[:8], found.shares[8:]
    assert sum(found.shares) == 128
    assert set(fast) == {12} and set(slow) == {4}
    assert found.share_imbalance < 0.05


def test_stages_on_slower_gpus_get_fewer_layers():
    made = problem("small", nodes("a100-80g", 1), nodes("a100-80g", 1, speed=0.5), batch=64)
    made = attrs.evolve(made, model=attrs.evolve(SMALL, vocabulary=16))
    found = estimate(made, Mesh(dp=8, tp=1, pp=2), "tp-dp-pp")
    assert found.cut == (8, 4)
    level = estimate(made, Mesh(dp=8, tp=1, pp=2, interleave=2), "tp-dp-pp")
    assert level.cut == (6, 6)
    assert found.seconds.total < level.seconds.total


def test_the_search_tries_every_mesh_once():
    made = problem("small", nodes("a100-80g", 2), batch=32)
    found = search(made)
    meshes = [(one.mesh, one.order) for one in found.fitting]
    assert len(meshes) == len(set(meshes))
    sizes = {(one.mesh.dp, one.mesh.tp, one.mesh.pp) for one in (*found.fitting, *found.refused)}
    assert sizes == {
        (16 // tp // pp, tp, pp)
        for tp in (1, 2, 4, 8, 16)
        for pp in (1, 2, 4, 8, 16)
        if tp * pp <= 16
    }
    times = [one.seconds.total for one in found.fitting]
    assert times == sorted(times)
    by_size = [(one.mesh.tp, one.mesh.pp) for one in found.refused if one.dimension in SIZES_ALONE]
    assert len(by_size) == len(set(by_size)) > 0  # told once, whatever the microbatch
    for one in found.refused:
        if one.dimension != "memory":
            assert refusal(one.mesh, made.model, made.cluster, made.training) == one


MISFITS = {
    "world": ({"dp": 3, "tp": 2, "pp": 2}, {}),
    "dp": ({"dp": 3}, {}),
    "tp": ({"tp": 16}, {}),
    "heads": ({"tp": 8}, {"heads": 4}),
    "sequence": ({"tp": 8}, {"sequence": 100}),
    "layers": ({"dp": 1, "tp": 1, "pp": 16}, {}),
    "interleave": ({"pp": 4, "interleave": 2}, {"layers": 12}),
    "batch": ({"micro": 3}, {}),
}


@pytest.mark.parametrize("dimension", MISFITS)
def test_a_mesh_that_does_not_fit_is_refused_by_its_dimension(dimension):
    sizes, model = MISFITS[dimension]
    made = problem("small", nodes("a100-80g", 2), batch=32, sequence_parallel=True)
    made = attrs.evolve(made, model=attrs.evolve(SMALL, **model))
    with pytest.raises(MeshMismatch) as caught:
        search(made, Wanted(**sizes))
    assert caught.value.dimension == dimension
    assert caught.value.remedy


@pytest.mark.parametrize("rate", [1e-12, 1e24])
def test_the_slowest_and_the_fastest_figures_make_plans(rate):
    link = Link(bytes_per_s=rate, latency_s=0.0)
    strange = nodes(
        "a100-80g",
        1,
        flops_per_s={"bf16": rate},
        memory_bytes_per_s=rate,
        inside=link,
        between=link,
    )
    found = search(problem("small", strange, nodes("a100-80g", 1), batch=32))
    assert all(0 < one.seconds.total < float("inf") for one in found.fitting)
    assert len(found.fitting) > 10


def test_figures_that_cant_be_are_refused_where_they_enter():
    with pytest.raises(errors.InputError, match="hidden is -1"):
        attrs.evolve(SMALL, hidden=-1)
    with pytest.raises(errors.InputError, match="heads do not divide"):
        attrs.evolve(SMALL, heads=3)
    with pytest.raises(errors.InputError, match="up to 10,000"):
        attrs.evolve(SMALL, layers=10**9)
    with pytest.raises(errors.InputError, match="number of GPUs is 8000000"):
        problem("small", nodes("a100-80g", 10**6), batch=1)
    with pytest.raises(errors.InputError, match="bytes_per_s is nan"):
        Link(bytes_per_s=float("nan"), latency_s=0.0)
    with pytest.raises(errors.InputError, match="latency_s is -1"):
        Link(bytes_per_s=1.0, latency_s=-1)
    with pytest.raises(errors.InputError, match="memory_nbytes of the group"):
        nodes("a100-80g", 1, memory_nbytes=-5)
    with pytest.raises(errors.InputError, match="batch is True"):
        Training(batch=True)
    with pytest.raises(errors.InputError, match="compress is 2"):
        Training(batch=1, compress=2.0)
    with pytest.raises(errors.InputError, match="gives no flops_per_s for bf16"):
        search(problem("small", nodes("v100-32g", 1), batch=8))
    assert isinstance(SMALL, Transformer)
