"""Measured costs travel as JSON and come back the same."""

import json
import math

import pytest

from deepseek_core import LatencyClass
from deepseek_core.cli.main import main
from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.runtime.cost_file import differences, read_costs, write_costs
from deepseek_core.runtime.history import History, Record
from deepseek_core.schedule.cost import Sample

RECORDS = [Record("d", "s", "offline", 8, 0.25), Record("d", "s", "realtime", 1, 0.5)]


def with_sample(**changes):
    sample = {"device": "d", "stage": "s", "latency": "offline", "batch": 1, "seconds": 1}
    return json.dumps({"schema": 1, "samples": [sample | changes]})


def test_a_file_comes_back_as_it_was(tmp_path):
    write_costs(tmp_path / "costs.json", RECORDS)
    assert read_costs(tmp_path / "costs.json") == RECORDS
    assert [p.name for p in tmp_path.iterdir()] == ["costs.json"]


def test_importing_twice_adds_once(tmp_path):
    history = History(tmp_path / "history.sqlite")
    assert history.merge(RECORDS) == 2
    assert history.merge(RECORDS) == 0
    assert history.samples("d", "s", LatencyClass.OFFLINE) == (Sample(8, 0.25),)
    history.close()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is not JSON"),
        ("[]", "not a cost file of schema 1"),
        ('{"schema": 2}', "not a cost file of schema 1"),
        ('{"schema": 1, "samples": [{}]}', "sample 0 does not fit"),
        (with_sample(latency="soon"), "sample 0 does not fit"),
        (with_sample(seconds=0), "no positive batch"),
        (with_sample(batch=math.inf), "sample 0 does not fit"),
        (with_sample(seconds=10**400), "sample 0 does not fit"),
        ('{"schema": 1, "samples": 5}', "its samples must be a list"),
    ],
)
def test_what_is_no_cost_file_is_named(tmp_path, content, text):
    path = tmp_path / "costs.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=text):
        read_costs(path)


def test_the_largest_change_comes_first():
    after = [Record("d", "s", "offline", 8, 0.26), Record("d", "s", "realtime", 1, 5.0)]
    rows = differences(RECORDS, [*after, Record("d", "t", "offline", 1, 1.0)])
    assert [row.ratio for row in rows] == [10.0, pytest.approx(1.04), None]
    assert rows[2].before_s is None


def test_the_command_exports_imports_and_compares(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "cache"))
    given, written = tmp_path / "given.json", tmp_path / "written.json"
    write_costs(given, RECORDS)
    assert main(["costs", "import", str(given), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"read": 2, "new": 2}
    assert main(["costs", "export", str(written)]) == 0
    assert sorted(map(str, read_costs(written))) == sorted(map(str, RECORDS))
    capsys.readouterr()
    assert main(["costs", "diff", str(given)]) == 0
    assert "1.00" in capsys.readouterr().out
    assert main(["costs", "import", str(tmp_path / "none.json")]) == 2
