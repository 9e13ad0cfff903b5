"""`ds-sdk train failures`, as a user types it, and the logs that it reads."""

import gzip
import json
import lzma
from pathlib import Path

import failure_logs
import pytest

from deepseek_core import errors
from deepseek_parallel.cli.main import main
from deepseek_parallel.hazard.log import read_logs

LANL = Path(__file__).parent / "lanl_sample.csv"  # the first lines of LA-UR-05-7318


def test_it_says_how_often_to_save(tmp_path, capsys):
    log = failure_logs.write_log(tmp_path / "log.csv", failure_logs.clustered(120))
    assert main(["failures", str(log), "--cost", "30"]) == 0
    said = capsys.readouterr().out
    assert "Save every" in said
    assert "simulated" in said
    assert main(["failures", str(log), "--cost", "30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (system,) = told["systems"]
    assert (system["num_failures"], system["num_nodes"], system["num_judged"]) == (121, 8, 48)
    assert system["scored"][0]["name"] == "constant rate"
    assert 30 <= system["interval_s"] < 36_000
    assert told["cost_s"] == 30


def test_nodes_are_judged_and_named(tmp_path, capsys):
    log = failure_logs.write_log(tmp_path / "log.csv", failure_logs.clustered(300))
    assert main(["failures", str(log), "--nodes", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert set(nodes["judged"]) >= {"constant", "own rate so far", "logistic regression"}
    assert nodes["riskiest"]["a"][0]["node"] == "node0"


def test_weights_are_learned_written_and_used(tmp_path, capsys):
    log = failure_logs.write_log(tmp_path / "log.csv", failure_logs.clustered(100))
    weights = tmp_path / "w.npz"
    assert main(["failures", str(log), "--fit", str(weights)]) == 0
    assert main(["failures", str(log), "--weights", str(weights)]) == 0
    assert "Save every" in capsys.readouterr().out


def test_the_log_of_los_alamos_is_read_packed_or_not(tmp_path):
    plain = LANL.read_bytes()
    packed = tmp_path / "a.csv.xz", tmp_path / "a.csv.gz"
    packed[0].write_bytes(lzma.compress(plain))
    packed[1].write_bytes(gzip.compress(plain))
    for path in (LANL, *packed):
        logs = read_logs(path)
        assert [(log.system, log.num_nodes, len(log.times_s)) for log in logs] == EXPECTED
        assert all((log.gaps_s > 0).all() for log in logs)


EXPECTED = [("2", 49, 20)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'time'"),
        ("when,node\n1,2\n", "no column 'time'"),
        ("time,node\n", "no failure"),
        ("time,node\nyesterday,3\n", "line 2"),
        ("time,node,nodes\n2026-01-01T00:00:00,3,many\n", "number of nodes must be"),
        ("time\n" + "\n".join(["nan"] * 3), "line 2"),
    ],
)
def test_a_log_that_says_nothing_is_refused(tmp_path, text, said):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(errors.InputError, match=said):
        read_logs(path)


def test_times_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        "time,node\n2026-01-01,a\n2026-01-01T01:00:00Z,b\n2026-01-01T03:00:00+01:00,c\n"
        "1767236400,a\n1/1/2026 4:00,b\n,c\n"
    )
    (log,) = read_logs(path)
    assert log.gaps_s.tolist() == [3600.0] * 4
    assert (log.skipped, log.num_nodes, log.names) == (1, 3, ("a", "b", "c"))


@pytest.mark.parametrize(
    "content",
    [
        "time;node\n2026-01-01T00:00;a\n2026-01-01T01:00;b\n",
        "\ufefftime,node\n2026-01-01T00:00,a\n2026-01-01T01:00,b\n",
        " Time | NODE \n2026-01-01T01:00|b\n\n2026-01-01T00:00|a\n",
        "time,node\r2026-01-01T00:00,a\r2026-01-01T01:00,b\r",
        "time,node\n" + "2026-01-01T00:00-0500,a\n2026-01-01T06:00Z,b\n" * 3,
        "node,Prob Started\na,1/1/2026 0:00\nb,1/1/2026 1:00\n",
    ],
)
def test_a_log_that_nobody_here_made_is_read(tmp_path, content):
    path = tmp_path / "log.csv"
    path.write_bytes(content.encode())
    (log,) = read_logs(path)
    assert log.gaps_s.tolist() == [3600.0]
    assert (log.names, len(log.times_s)) == (("a", "b"), 2)
    path.write_bytes(content.lstrip("\ufeff").encode("utf-16"))
    assert read_logs(path)[0].gaps_s.tolist() == [3600.0]


def test_columns_of_other_names_are_told(tmp_path, capsys):
    path = tmp_path / "log.csv"
    rows = [f"2026-01-{1 + n // 4:02}T{6 * (n % 4):02}:00:00-0500,r{n % 3}" for n in range(40)]
    path.write_text("\n".join(["Timestamp,Rack id", *rows]))
    assert main(["failures", str(path), "--columns", "time=timestamp, node=Rack id"]) == 0
    assert "40 failures, 3 nodes" in capsys.readouterr().out
    with pytest.raises(errors.InputError, match="no column 'host'"):
        main(["failures", str(path), "--columns", "time=Timestamp,node=host"])
    with pytest.raises(errors.ConfigError, match="does not say"):
        main(["failures", str(path), "--columns", "Timestamp"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1767243839511,a"], "not milliseconds"),
        (["1e300,a"], "is no time"),
        (["nan,a"], "is no time"),
        (["20260131,a", "20260201,a"], "write dates as 2026-01-31"),
        ([f"5,a,{'9' * 5000}"], "number of nodes must be"),
        (["5,a,inf"], "number of nodes must be"),
        ([",a"], "no failure with a time"),
    ],
)
def test_times_and_counts_that_mean_something_else_are_refused(tmp_path, rows, said):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["time,node,nodes", *rows]))
    with pytest.raises(errors.InputError, match=said):
        read_logs(path)


def test_a_short_system_does_not_keep_the_nodes_of_a_long_one_from_being_judged(tmp_path, capsys):
    path = failure_logs.write_log(tmp_path / "log.csv", failure_logs.clustered(150))
    with path.open("a") as file:
        file.writelines(f"{1e9 + n * 600},b{n},short,3\n" for n in range(30))
    assert main(["failures", str(path), "--nodes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["system"] for one in told["systems"]] == ["a", "short"]
    assert set(told["nodes"]["riskiest"]) == {"a"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cost", "0"], "--cost must be"),
        (["--system", "b"], "use one of a"),
        (["--weights", "none.npz"], "can't read the weights"),
        (["--fit", "none/w.npz"], "can't write"),
    ],
)
def test_wrong_options_are_refused(tmp_path, words, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failure_logs.write_log(tmp_path / "log.csv", failure_logs.clustered(60))
    with pytest.raises((errors.ConfigError, errors.InputError)) as caught:
        main(["failures", "log.csv", *words])
    assert said in str(caught.value)


def test_a_file_that_is_not_there_or_torn(tmp_path):
    with pytest.raises(errors.InputError, match="can't read"):
        read_logs(tmp_path / "none.csv")
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress(LANL.read_bytes())[:-20])
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    for name in ("a.csv.xz", "a.csv.gz"):
        with pytest.raises(errors.InputError, match="can't read"):
            read_logs(tmp_path / name)


def test_few_failures_are_no_ground_for_advice(tmp_path, capsys):
    log = failure_logs.write_log(tmp_path / "log.csv", [60.0] * 5)
    assert main(["failures", str(log)]) == 1
    assert "fewer than 20" in capsys.readouterr().out
