"""`ds-sdk schedule`: figures on stdout, files where asked, errors as sentences."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import attrs
import pytest
from test_instances import SMALL, WORKFLOW_1_5

from deepseek_core.cli import main
from deepseek_core.cli.gantt import gantt_body
from deepseek_core.cli.schedule_rules import why
from deepseek_core.runtime.instances import read_instance
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.dag.validity import faults

INSTANCES = Path(__file__).parent.parent / "data" / "sched"
CHOLESKY = INSTANCES / "starpu_mirage_chol6_t960.json"
LAYERS = INSTANCES / "dnn_lat_layer_bert24_inference.json"


def test_it_prints_makespan_bound_gap_algorithm_and_time(capsys):
    assert main(["schedule", str(CHOLESKY)]) == 0
    captured = capsys.readouterr()
    assert re.search(
        r"makespan: +0\.082\d* s\nbound: +0\.0719\d* s \(gap at most 14\.\d+%\)\n"
        r"algorithm: .*list passes\ntime: .* ms",
        captured.out,
    )
    assert captured.err == ""


def test_the_file_it_writes_is_a_valid_schedule(tmp_path):
    out = tmp_path / "plan.json"
    assert main(["schedule", str(CHOLESKY), "--passes", "50", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    placements = tuple(TaskPlacement(**row) for row in content["placements"])
    keys = ("graph", "unit", "algorithm", "makespan", "lower_bound")
    again = Schedule(placements=placements, **{key: content[key] for key in keys})
    assert faults(read_instance(CHOLESKY), again) == []
    assert set(content["placements"][0]) == {"task", "device", "start", "end"}


def test_json_to_a_dash_is_all_that_stdout_holds(capsys):
    assert main(["schedule", str(LAYERS), "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["makespan"] == pytest.approx(92.406)
    assert "--limits respect" in captured.err


def test_equal_seeds_give_equal_files(tmp_path):
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in files:
        main(["schedule", str(CHOLESKY), "--passes", "80", "--seed", "3", "--json", str(path)])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_published_rule_can_be_asked_for(capsys):
    assert main(["schedule", str(CHOLESKY), "--algorithm", "heft"]) == 0
    assert "algorithm: HEFT, 1 list passes" in capsys.readouterr().out


def test_all_rules_stand_beside_the_search_with_the_reason_why(tmp_path, capsys):
    assert main(["schedule", str(CHOLESKY), "--algorithm", "all"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n{rule} " in told for rule in ("best", "heft", "peft", "cpop", "dmda"))
    assert re.search(r"the search is [\d.]+% shorter than the best rule, \w+\.", told)
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    assert main(["schedule", str(path), "--algorithm", "all"]) == 0
    assert "found it, too: it meets the lower bound, and nothing is shorter." in (
        capsys.readouterr().out
    )


def test_why_the_search_does_not_win_is_told():
    ours = Schedule(
        graph="g", unit="s", algorithm="local search", makespan=10.0, lower_bound=8.0, placements=()
    )
    assert "allows 20.00%" in why(ours, {"heft": 10.0, "peft": 12.0})
    assert why(ours, {"heft": 9.0}).startswith("heft is 10.00% shorter")
    assert "no rule found" in why(ours, {})


def test_limits_can_be_enforced(capsys):
    assert main(["schedule", str(LAYERS), "--limits", "respect"]) == 0
    captured = capsys.readouterr()
    assert float(re.search(r"makespan: +([\d.]+)", captured.out)[1]) > 92.5
    assert captured.err == ""


def test_a_budget_of_time_is_taken(capsys):
    assert main(["schedule", str(CHOLESKY), "--budget-ms", "100"]) == 0
    assert "makespan:  0.08" in capsys.readouterr().out


def test_a_workflow_is_placed(tmp_path, capsys):
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(WORKFLOW_1_5))
    assert main(["schedule", str(path)]) == 0
    assert "makespan:  3 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, code, word",
    [
        ({"edges": [[0, 1, 1], [1, 0, 1]]}, 2, "has a cycle of 2 tasks: "),
        ({"tasks": []}, 2, "has no tasks"),
        ({"tasks": [{"id": 0, "cost": {"gpu": 1}}], "edges": []}, 1, "no device can run task 0"),
        (
            {"tasks": [{"id": 0, "cost": {"cpu": 1}, "mem_bytes": 9}], "edges": []},
            2,
            "1 B too much",
        ),
    ],
)
def test_bad_graphs_are_one_sentence_with_a_remedy(change, code, word, tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(SMALL | change))
    assert main(["schedule", str(path)]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and word in error
    assert error.splitlines()[1].startswith("fix: ")


@pytest.mark.parametrize("words", [["--budget-ms", "-1"], ["--passes", "many"], ["--limits", "no"]])
def test_a_wrong_option_is_bad_input(words, capsys):
    assert main(["schedule", str(CHOLESKY), *words]) == 2
    assert words[0] in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    out = tmp_path / "missing" / "plan.json"
    assert main(["schedule", str(CHOLESKY), "--json", str(out)]) == 2
    said = capsys.readouterr()
    assert "the folder of" in said.err and "does not exist" in said.err
    assert not said.out, "the work was done for nothing"


class Page(HTMLParser):
    """Counts bars and remembers what would be loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.bars, self.links = [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "rect" and found.get("class") == "bar":
            self.bars.append((float(found["x"]), float(found["width"]), float(found["y"])))
        self.links += [v for k, v in attrs if k in ("src", "href")]


def test_the_page_draws_every_task_in_its_lane_and_loads_nothing(tmp_path):
    out = tmp_path / "plan.html"
    assert main(["schedule", str(CHOLESKY), "--html", str(out)]) == 0
    page = Page()
    page.feed(out.read_text())
    graph = read_instance(CHOLESKY)
    assert len(page.bars) == len(graph.tasks)
    assert page.links == []
    right = max(x + width for x, width, _ in page.bars)
    assert right <= 1200
    by_lane = {}
    for x, width, y in sorted(page.bars):
        assert x >= by_lane.get(y, 0.0) - 0.05
        by_lane[y] = x + width


def test_names_can_not_break_out_of_the_page():
    graph = read_instance(CHOLESKY)
    evil = attrs.evolve(
        graph, name="<script>", tasks=[attrs.evolve(t, name="<b>&") for t in graph.tasks]
    )
    text = gantt_body(evil, solve(evil, passes=1))
    assert "<script>" not in text and "<b>" not in text


STREAM = {
    "name": "stream",
    "unit": "ms",
    "devices": [
        {"id": "host", "type": "cpu", "mem": 0},
        {"id": "board0", "type": "fpga", "mem": 1, "mem_bytes": 100},
        {"id": "board1", "type": "fpga", "mem": 2, "mem_bytes": 100},
    ],
    "mem_nodes": ["ram", "b0", "b1"],
    "bandwidth": [[None, 10, 10], [10, None, 5], [10, 5, None]],
    "latency": [[0, 1, 1], [1, 0, 2], [1, 2, 0]],
    "tasks": [
        {"id": "read", "cost": {"cpu": 2.0}},
        {"id": "match", "cost": {"fpga": 6.0}, "mem_bytes": 80},
        {"id": "rank", "cost": {"fpga": 5.0}, "mem_bytes": 60},
    ],
    "edges": [["read", "match", 20], ["match", "rank", 10]],
}


def scheduled(tmp_path, capsys, *options, **changes):
    """What `--objective throughput` finds, `changes` being keys of tasks by task."""
    rows = [row | changes.get(row["id"], {}) for row in STREAM["tasks"]]
    file = tmp_path / "stream.json"
    file.write_text(json.dumps(STREAM | {"tasks": rows}))
    code = main(["schedule", str(file), "--objective", "throughput", "--json", "-", *options])
    assert code == 0
    return json.loads(capsys.readouterr().out)


def test_a_stream_pays_for_its_transfers_and_keeps_to_the_memory(tmp_path, capsys):
    found = scheduled(tmp_path, capsys)
    (route,) = found["routes"]
    assert route["devices"]["read"] == "host"
    assert {route["devices"][name] for name in ("match", "rank")} == {"board0", "board1"}
    # match: 6, 1 + 20 / 10 from the host, half of 2 + 10 / 5 to the other board.
    assert found["period"] == found["lower_bound"] == pytest.approx(6 + 3 + 2)
    loads = found["loads"]
    assert sorted(loads.values()) == pytest.approx([2.0, 5 + 2, 6 + 3 + 2])
    assert loads["host"] == 2.0
    assert found["host_load"] == 0.0
    assert found["optimal"]


def test_memory_decides_unless_limits_are_ignored(tmp_path, capsys):
    quick = {"rank": {"cost": {"fpga": 1.0}}}
    assert scheduled(tmp_path, capsys, **quick)["period"] == pytest.approx(6 + 3 + 2)
    found = scheduled(tmp_path, capsys, "--limits", "ignore", **quick)
    assert found["period"] == pytest.approx(6 + 3 + 1)
    assert len(set(found["routes"][0]["devices"].values())) == 2


def test_what_goes_together_is_on_one_device(tmp_path, capsys):
    groups = {"match": {"colocate": 7}, "rank": {"colocate": 7, "mem_bytes": 10}}
    (route,) = scheduled(tmp_path, capsys, **groups)["routes"]
    assert route["devices"]["match"] == route["devices"]["rank"]


def test_batches_take_several_routes_only_where_that_is_asked_for(tmp_path, capsys):
    light = {"match": {"mem_bytes": 40}, "rank": {"mem_bytes": 40}}
    one = scheduled(tmp_path, capsys, **light)
    several = scheduled(tmp_path, capsys, "--replicate", **light)
    assert len(one["routes"]) == 1 < len(several["routes"])
    assert several["period"] < 0.9 * one["period"]
    assert sum(route["share"] for route in several["routes"]) == pytest.approx(1.0)
    assert several["rejected"]["unreplicated"] == pytest.approx(one["period"])


def test_a_task_with_state_does_every_batch_on_one_device(tmp_path, capsys):
    light = {"match": {"mem_bytes": 40, "stateful": True}, "rank": {"mem_bytes": 40}}
    found = scheduled(tmp_path, capsys, "--replicate", **light)
    assert len({route["devices"]["match"] for route in found["routes"]}) == 1


def test_a_stream_is_told_in_words_and_written(tmp_path, capsys):
    file, out = tmp_path / "stream.json", tmp_path / "plan.json"
    file.write_text(json.dumps(STREAM))
    words = ["schedule", str(file), "--objective", "throughput", "--batch", "4"]
    assert main([*words, "--json", str(out)]) == 0
    text = capsys.readouterr().out
    assert "period:    11 ms a batch, 0.363636 items per ms" in text
    assert "bound:     11 ms (gap at most 0.00%)" in text
    assert re.search(r"busy: +board\d 100%", text)
    assert json.loads(out.read_text())["items_per_unit"] == pytest.approx(4 / 11)


@pytest.mark.parametrize(
    "options",
    [
        ["--algorithm", "heft"],
        ["--passes", "5"],
        ["--budget-ms", "5"],
        ["--html", "page.html"],
        ["--check", "plan.json"],
    ],
)
def test_what_has_no_meaning_for_a_stream_is_refused(options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stream.json").write_text(json.dumps(STREAM))
    assert main(["schedule", "stream.json", "--objective", "throughput", *options]) == 2
    assert f"{options[0]} does not go with --objective throughput" in capsys.readouterr().err
    assert main(["schedule", "stream.json", "--replicate"]) == 2


def test_a_flag_of_a_task_is_true_or_false(tmp_path, capsys):
    file = tmp_path / "stream.json"
    rows = [row | {"stateful": "no"} for row in STREAM["tasks"]]
    file.write_text(json.dumps(STREAM | {"tasks": rows}))
    assert main(["schedule", str(file)]) == 2
    assert "`stateful` must be true or false, got 'no'" in capsys.readouterr().err


def test_a_schedule_is_checked_whoever_made_it(tmp_path, capsys):
    file, plan = tmp_path / "small.json", tmp_path / "plan.json"
    file.write_text(json.dumps(SMALL))
    assert main(["schedule", str(file), "--json", str(plan)]) == 0
    capsys.readouterr()
    assert main(["schedule", str(file), "--check", str(plan)]) == 0
    assert capsys.readouterr().out == "plan.json is valid: makespan 3.5 ms\n"
    content = json.loads(plan.read_text())
    content["placements"][1]["start"] = 0.0
    plan.write_text(json.dumps({"placements": content["placements"]}))
    assert main(["schedule", str(file), "--check", str(plan), "--json", "-"]) == 1
    told = json.loads(capsys.readouterr().out)["faults"]
    assert any("task 1 takes 3.5" in fault for fault in told)
    assert any("overlap" in fault for fault in told)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"placements": [{"task": 1}]}', '{"placements": 3}']
)
def test_a_file_without_a_schedule_is_refused(text, tmp_path, capsys):
    file, plan = tmp_path / "small.json", tmp_path / "plan.json"
    file.write_text(json.dumps(SMALL))
    plan.write_text(text)
    assert main(["schedule", str(file), "--check", str(plan)]) == 2
    assert "plan.json" in capsys.readouterr().err


def test_a_schedule_tells_what_it_takes_when_run_times_scatter(tmp_path, capsys):
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SMALL))
    assert main(["schedule", str(file), "--noise", "0", "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    calm = content["noise"]
    assert calm["as_planned"]["median"] == pytest.approx(content["makespan"])
    assert calm["decided_anew"]["p90"] == pytest.approx(content["makespan"])
    assert main(["schedule", str(file), "--noise", "0.5", "--json", "-"]) == 0
    rough = json.loads(capsys.readouterr().out)["noise"]
    assert rough["as_planned"]["p90"] > calm["as_planned"]["p90"]
    assert main(["schedule", str(file), "--noise", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "as planned:" in out and "decided again:" in out and "simulated, 100 draws" in out
    assert main(["schedule", str(file), "--noise", "-1"]) == 2
