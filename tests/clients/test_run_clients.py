"""The job of clients: all scripts are known, what is missing is a reason, faults are told."""

import pytest
import run_clients
from run_clients import HERE, NEEDS, clients, main, missing, run


def test_each_script_says_what_it_needs_and_the_requirements_name_it():
    assert clients() == sorted(NEEDS)
    required = (HERE / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in required.splitlines() if not line.startswith("#")]
    names = {line.partition("=")[0].partition("[")[0] for line in lines}
    assert {name for needs in NEEDS.values() for name in needs} - names <= {"fsspec", "numpy"}


@pytest.mark.parametrize("client", ["numpy", "fsspec"])
def test_a_script_runs_over_a_store_of_its_own(client, capsys):
    assert main([client, "--tier", "cold"]) == 0
    assert f"right    {client}" in capsys.readouterr().out


def test_a_library_that_is_missing_is_a_reason(monkeypatch):
    monkeypatch.setitem(NEEDS, "numpy", ("numpy", "no_such_library"))
    assert missing("numpy") == ["no_such_library"]
    outcome = run("numpy", tier="hot")
    assert outcome.verdict == "skipped"
    assert "no_such_library" in outcome.told


def test_a_script_that_fails_fails_the_job(monkeypatch, tmp_path, capsys):
    (tmp_path / "client_numpy.py").write_text("raise SystemExit('no luck')", encoding="utf-8")
    monkeypatch.setattr(run_clients, "HERE", tmp_path)
    assert main(["numpy"]) == 1
    assert "no luck" in capsys.readouterr().out
