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
    assert "leaves room for 20.00%" in why(ours, {"heft": 10.0, "peft": 12.0})
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
