"""Task graphs come from files of four formats; what is malformed is named."""

import json
from pathlib import Path

import pytest
from dag_graphs import graphs
from hypothesis import HealthCheck, given, settings
from instance_files import graph_to_json, write_instance

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import ArtifactError, GraphError, InputError, NoDevice
from deepseek_core.runtime.instances import (
    graph_from_json,
    has_limits,
    read_instance,
    write_schedule,
)
from deepseek_core.runtime.model_graphs import graph_of_problem
from deepseek_core.runtime.starpu_models import starpu_costs
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.dag.validity import faults
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions

INSTANCES = Path(__file__).parent.parent / "data" / "sched"
BOUNDS = json.loads((INSTANCES / "bounds.json").read_text())

SMALL = {
    "name": "small",
    "unit": "ms",
    "devices": [{"id": "d", "type": "cpu", "mem": 0, "mem_bytes": 8}],
    "tasks": [{"id": 0, "cost": {"cpu": 1}, "mem_bytes": 4}, {"id": 1, "cost": {"cpu": 2.5}}],
    "edges": [[0, 1, 10]],
}

# The layout of version 45, with figures of our own
STARPU = """##################
# Performance Model Version
45

####################
# COMBs
# number of combinations
3
{models}"""
MODEL = """####################
# COMB_{comb}
# number of types devices
1
#####
# Model for {name}_impl0 (Comb{comb})
# number of entries
2
# sumlnx\tsumlnx2\t\tsumlny\t\tsumlnxlny\talpha\t\tbeta\t\tn\tminx\t\tmaxx
0.000000e+00   \t0.000000e+00   \t0.000000e+00   \t0.0   \tnan \tnan \t0\t0 \t0
# a\t\tb\t\tc
nan            \tnan            \tnan
# not multiple-regression-base
0
# hash\t\tsize\t\tflops\t\tmean (us)\tdev (us)\tsum\t\tsum2\t\tn
cea37d6d\t4096 \t1.0e+07 \t{small} \t1.0e+00 \t1.0e+04 \t1.0e+07 \t10
617e5fe6\t8192 \t2.0e+08 \t{large} \t2.0e+00 \t1.0e+06 \t1.0e+10 \t{count}

"""


@pytest.mark.parametrize("name", BOUNDS)
def test_public_instances_are_scheduled_near_the_best_known(name):
    graph = read_instance(INSTANCES / f"{name}.json", limits="ignore")
    found = solve(graph, passes=24)
    best = BOUNDS[name]["best"]
    assert faults(graph, found) == []
    assert found.makespan <= best * 1.045
    assert found.lower_bound <= best * (1 + 1e-9)
    assert found.makespan <= BOUNDS[name]["heft"] * (1 + 1e-9)


@pytest.mark.parametrize("name", [n for n in BOUNDS if n.startswith("dnn")])
def test_limits_are_respected_when_asked_for_and_are_not_in_the_best_known(name):
    graph = read_instance(INSTANCES / f"{name}.json", limits="respect")
    assert has_limits(graph)
    assert not has_limits(read_instance(INSTANCES / f"{name}.json"))
    found = solve(graph, passes=24)
    assert faults(graph, found) == []
    assert found.makespan >= BOUNDS[name]["lower_bound"] * (1 - 1e-9)


def write(tmp_path, content, name="instance.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_numbers_as_ids_and_left_out_keys_are_read(tmp_path):
    graph = read_instance(write(tmp_path, SMALL))
    assert [t.id for t in graph.tasks] == [0, 1]
    assert graph.devices[0].mem_bytes == 8
    assert graph.unit == "ms" and has_limits(graph)
    assert solve(graph).makespan == 3.5


def test_a_file_may_say_that_its_limits_do_not_count(tmp_path):
    assert not has_limits(read_instance(write(tmp_path, SMALL | {"limits": "ignore"})))
    with pytest.raises(InputError, match="respect or ignore"):
        read_instance(write(tmp_path, SMALL | {"limits": "maybe"}))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(limits=True))
def test_what_is_written_is_read_again(graph, tmp_path):
    path = tmp_path / "graph.json"
    write_instance(path, graph)
    again = read_instance(path)
    for field in ("name", "unit", "devices", "bandwidth", "latency", "tasks", "edges"):
        assert getattr(again, field) == getattr(graph, field)


def test_a_schedule_is_written_whole(tmp_path):
    graph = graph_from_json(SMALL)
    write_schedule(tmp_path / "plan.json", solve(graph).to_json())
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["makespan"] == 3.5
    assert content["placements"][1] == {"task": 1, "device": "d", "start": 1.0, "end": 3.5}
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "content, word",
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "holds no task graph"),
        ({"tasks": []}, "no `devices`"),
        (SMALL | {"devices": [{"id": "d"}]}, "key 'type' is missing"),
        (SMALL | {"tasks": [{"id": 0}]}, "neither `cost` nor `model`"),
        (SMALL | {"tasks": [7]}, "malformed"),
        (SMALL | {"edges": [[0]]}, "malformed"),
        (SMALL | {"tasks": None}, "malformed"),
    ],
)
def test_a_malformed_file_is_one_sentence(content, word, tmp_path):
    with pytest.raises(ArtifactError, match=word):
        read_instance(write(tmp_path, content))


@pytest.mark.parametrize(
    "change, error, word",
    [
        ({"edges": [[0, 1, 1], [1, 0, 1]]}, GraphError, "0 -> 1 -> 0|1 -> 0 -> 1"),
        ({"edges": [[0, 9, 1]]}, GraphError, "no task 9"),
        ({"tasks": []}, GraphError, "has no tasks"),
        ({"tasks": [{"id": 0, "cost": {"cpu": -1}}], "edges": []}, InputError, "-1"),
        ({"tasks": [{"id": 0, "cost": {"gpu": 1}}], "edges": []}, NoDevice, "'cpu'"),
        (
            {"tasks": [{"id": 0, "cost": {"cpu": 1}, "mem_bytes": 9}], "edges": []},
            GraphError,
            "1 B",
        ),
    ],
)
def test_an_unsound_graph_says_what_is_wrong(change, error, word, tmp_path):
    with pytest.raises(error, match=word):
        read_instance(write(tmp_path, SMALL | change))


def test_nan_is_no_cost(tmp_path):
    text = json.dumps(SMALL).replace("2.5", "NaN")
    with pytest.raises(InputError, match=r"cost of task 1 on 'cpu' must be .*, got nan"):
        read_instance(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing\.json can't be read"):
        read_instance(tmp_path / "nothing.json")


WORKFLOW_1_5 = {
    "name": "two steps",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {"id": "a1", "name": "align", "parents": [], "outputFiles": ["f", "g"]},
                {"id": "b1", "name": "count", "parents": ["a1"], "inputFiles": ["f", "h"]},
            ],
            "files": [{"id": "f", "sizeInBytes": 3e8}, {"id": "g", "sizeInBytes": 5}],
        },
        "execution": {
            "tasks": [
                {"id": "a1", "runtimeInSeconds": 8.0},
                {"id": "b1", "runtimeInSeconds": 4.0},
            ]
        },
    },
}
WORKFLOW_1_4 = {
    "name": "two steps",
    "workflow": {
        "tasks": [
            {
                "name": "align", "id": "a1", "runtimeInSeconds": 8.0, "parents": [],
                "files": [{"link": "output", "name": "f", "sizeInBytes": 3e8},
                          {"link": "output", "name": "g", "sizeInBytes": 5}],
            },
            {
                "name": "count", "id": "b1", "runtimeInSeconds": 4.0, "parents": ["align"],
                "files": [{"link": "input", "name": "f", "sizeInBytes": 3e8},
                          {"link": "input", "name": "h", "sizeInBytes": 9}],
            },
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("workflow", [WORKFLOW_1_5, WORKFLOW_1_4])
def test_workflows_of_both_layouts_are_read(workflow, tmp_path):
    graph = read_instance(write(tmp_path, workflow))
    assert graph.edges == (("a1", "b1", 3e8),)
    assert graph.tasks[0].cost == {"cpu_slow": 8.0, "cpu_fast": 4.0, "accel": 2.0}
    assert solve(graph).makespan == 3.0  # both on the accelerator: no transfer


def test_a_workflow_without_a_runtime_is_named(tmp_path):
    broken = json.loads(json.dumps(WORKFLOW_1_5))
    del broken["workflow"]["execution"]["tasks"][1]
    with pytest.raises(ArtifactError, match=r"workflow is malformed.*b1"):
        read_instance(write(tmp_path, broken))


def test_a_workflow_with_a_parent_that_is_not_there_is_named(tmp_path):
    broken = json.loads(json.dumps(WORKFLOW_1_5))
    broken["workflow"]["specification"]["tasks"][1]["parents"] = ["a2"]
    with pytest.raises(GraphError, match=r"'b1' names 'a2' among its parents.* no task 'a2'"):
        read_instance(write(tmp_path, broken))


@pytest.mark.parametrize("workflow", [WORKFLOW_1_5, WORKFLOW_1_4])
@pytest.mark.parametrize("sides", [("children",), ("children", "parents"), ("parents",)])
def test_an_edge_that_one_side_names_counts_once(workflow, sides, tmp_path):
    changed = json.loads(json.dumps(workflow))
    inside = changed["workflow"]
    tasks = inside["specification"]["tasks"] if "specification" in inside else inside["tasks"]
    tasks[0]["children"], tasks[1]["parents"] = [], []
    if "children" in sides:
        tasks[0]["children"] = ["b1"]
    if "parents" in sides:
        tasks[1]["parents"] = ["a1"]
    graph = read_instance(write(tmp_path, changed))
    assert graph.edges == (("a1", "b1", 3e8),)


def test_a_child_that_is_not_there_is_named(tmp_path):
    broken = json.loads(json.dumps(WORKFLOW_1_5))
    broken["workflow"]["specification"]["tasks"][0]["children"] = ["b1", "c1"]
    with pytest.raises(GraphError, match="'a1' names 'c1' among its children"):
        read_instance(write(tmp_path, broken))


def test_a_name_that_two_tasks_have_names_no_parent(tmp_path):
    broken = json.loads(json.dumps(WORKFLOW_1_4))
    twin = dict(broken["workflow"]["tasks"][0], id="a2")
    broken["workflow"]["tasks"].append(twin)
    with pytest.raises(GraphError, match="names the task 'align', and 2 tasks are called so"):
        read_instance(write(tmp_path, broken))


def test_ids_come_back_as_they_were_given(tmp_path):
    content = SMALL | {
        "tasks": [{"id": one, "cost": {"cpu": 1}} for one in (7, "8", "seven", 9.5, "7")],
        "edges": [[7, "8"], ["8", "seven", 4], [9.5, "7"]],
    }
    graph = read_instance(write(tmp_path, content))
    assert [t.id for t in graph.tasks] == [7, "8", "seven", 9.5, "7"]
    assert [(e.source, e.target) for e in graph.edges] == [(7, "8"), ("8", "seven"), (9.5, "7")]
    write_schedule(tmp_path / "plan.json", solve(graph).to_json())
    placed = json.loads((tmp_path / "plan.json").read_text())["placements"]
    assert [row["task"] for row in placed] == [7, "8", "seven", 9.5, "7"]


def test_an_edge_may_spell_a_number_as_text_where_that_is_clear(tmp_path):
    graph = read_instance(write(tmp_path, SMALL | {"edges": [["0", "1", 3]]}))
    assert [(e.source, e.target) for e in graph.edges] == [(0, 1)]


@pytest.mark.parametrize("wrong", [True, None, [1], {"a": 1}, float("nan")])
def test_an_id_is_text_or_a_number(wrong, tmp_path):
    with pytest.raises(ArtifactError, match="id"):
        read_instance(write(tmp_path, SMALL | {"tasks": [{"id": wrong, "cost": {"cpu": 1}}]}))


def starpu_model():
    rows = [("cpu0", "9.0e+02", "1.8e+04", 10), ("cuda0", "2.0e+03", "5.0e+03", 30),
            ("cuda1", "2.0e+03", "7.0e+03", 10)]  # fmt: skip
    models = [
        MODEL.format(comb=n, name=name, small=small, large=large, count=count)
        for n, (name, small, large, count) in enumerate(rows)
    ]
    return STARPU.format(models="".join(models))


def test_a_starpu_model_gives_costs_by_size_and_type(tmp_path):
    costs = starpu_costs(write(tmp_path, starpu_model(), "potrf.machine"))
    assert sorted(costs) == [4096, 8192]
    assert costs[8192]["cpu"].mean_s == pytest.approx(0.018)
    pooled = costs[8192]["gpu"]  # 30 samples of 5 ms, 10 of 7 ms
    assert pooled.mean_s == pytest.approx(0.0055)
    assert pooled.deviation_s == pytest.approx(0.000866, rel=1e-3)
    assert pooled.samples == 40


def test_tasks_take_their_costs_from_a_model_beside_the_file(tmp_path):
    write(tmp_path, starpu_model(), "potrf.machine")
    content = {
        "devices": [{"id": "c", "type": "cpu"}, {"id": "g", "type": "gpu"}],
        "models": {"potrf": "potrf.machine"},
        "tasks": [{"id": 0, "model": "potrf", "size": 8192}],
    }
    graph = read_instance(write(tmp_path, content))
    assert graph.tasks[0].cost == {"cpu": pytest.approx(0.018), "gpu": pytest.approx(0.0055)}
    content["tasks"][0]["size"] = 1
    with pytest.raises(InputError, match="no entry of 1 bytes -> it knows 4096, 8192"):
        read_instance(write(tmp_path, content))
    content["tasks"][0]["model"] = "gemm"
    with pytest.raises(InputError, match="'gemm'"):
        read_instance(write(tmp_path, content))


@pytest.mark.parametrize("text", ["hello", STARPU.format(models="")])
def test_a_file_that_is_no_model_is_named(text, tmp_path):
    with pytest.raises(ArtifactError, match=r"potrf\.machine"):
        starpu_costs(write(tmp_path, text, "potrf.machine"))


def test_a_models_stages_become_tasks_and_slots_become_devices():
    def candidate(device_id, seconds):
        made = Estimate(seconds=seconds, sigma=0.1, source="measured", samples=5)
        return Candidate(device_id=device_id, estimate=made)

    stages = [
        StageOptions(name="one", candidates=(candidate("cpu", 2.0), candidate("gpu", 1.0))),
        StageOptions(
            name="two",
            predecessors=("one",),
            candidates=(candidate("cpu", 3.0), Candidate(device_id="gpu", refusal="no")),
        ),
    ]
    problem = Problem(
        stages=tuple(stages),
        concurrency={"cpu": Concurrency(slots=2), "gpu": Concurrency(slots=1)},
        host_cores=2,
        objective=Objective.MAKESPAN,
    )
    graph = graph_of_problem(problem)
    assert [d.id for d in graph.devices] == ["cpu#0", "cpu#1", "gpu"]
    assert graph.tasks[1].cost == {"cpu": 3.0}
    assert 0 < graph.tasks[0].deviation["cpu"] < 0.5
    assert solve(graph).makespan == 4.0
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))).tasks == graph.tasks
