"""What is found wrong is kept for every process, bounded, and goes when it is healed."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_store.home import findings as module
from deepseek_store.home.findings import FILE, MOST, Findings


def made(home: Path, at_s: float = 100.0) -> Findings:
    return Findings(home, lambda: at_s)


def test_a_finding_is_there_for_the_next_process(tmp_path: Path) -> None:
    made(tmp_path).note("stripe", 7, "missing", "s3://b (d1)", index=3, detail="gone", by="scrub")
    (found,) = made(tmp_path).all()
    assert (found.what, found.number, found.index, found.kind) == ("stripe", 7, 3, "missing")
    assert (found.by, found.times, found.first_s) == ("scrub", 1, 100.0)
    assert found.process.endswith(f":{os.getpid()}")
    assert "fragment 3 of stripe 7 on s3://b (d1) is missing (gone); met " in str(found)


def test_the_same_again_counts_up_and_keeps_its_first_time(tmp_path: Path) -> None:
    for at_s in (100.0, 200.0, 300.0):
        made(tmp_path, at_s).note("segment", 1, "damaged", "/log", detail=f"at {at_s}")
    (found,) = made(tmp_path).all()
    assert (found.first_s, found.last_s, found.times) == (100.0, 300.0, 3)
    assert found.detail == "at 300.0"
    assert "3 times until" in str(found)


def test_what_is_healed_is_gone_for_all(tmp_path: Path) -> None:
    one, other = made(tmp_path), made(tmp_path)
    one.note("stripe", 1, "missing", "a", index=0)
    other.note("stripe", 2, "missing", "b", index=0)
    one.heal(lambda each: each.number == 2)
    one.flush()
    assert [each.number for each in other.all()] == [1]
    other.heal(lambda each: True)
    assert made(tmp_path).all() == ()
    # And may be found again.
    one.note("stripe", 2, "missing", "b", index=0)
    one.flush()
    assert [each.times for each in made(tmp_path).all()] == [1]


def test_there_is_a_bound(tmp_path: Path) -> None:
    findings = made(tmp_path)
    for number in range(MOST + 50):
        findings.note("segment", number, "missing", "/log", detail="x" * 10_000)
    findings.flush()
    assert len(made(tmp_path).all()) == MOST
    assert (tmp_path / FILE).stat().st_size < MOST * 1200


_NOTE = """
import sys
from pathlib import Path
from deepseek_store.home.findings import Findings

findings = Findings(Path(sys.argv[1]), lambda: 1.0)
for number in range(60):
    findings.note("segment", number, "damaged", "/log", detail=sys.argv[2])
findings.flush()
"""


def test_processes_that_find_the_same_at_once_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _NOTE, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    for worker in workers:
        assert worker.wait(60) == 0
    found = made(tmp_path).all()
    assert [each.number for each in sorted(found, key=lambda each: each.number)] == [*range(60)]
    assert {each.times for each in found} == {3}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"findings": 7}',
        '{"findings": [7, {}, {"what": "moon", "number": 1, "kind": "k", "place": "p"}]}',
        '{"findings": [{"what": "tier", "number": "x", "kind": "k", "place": "p"}]}',
        "\xff\x00",
    ],
)
def test_a_spoiled_file_says_nothing_and_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    findings = made(tmp_path)
    assert findings.all() == ()
    findings.note("tier", 0, "unreachable", "s3://b")
    assert len(made(tmp_path).all()) == 1


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    made(tmp_path).note("tier", 0, "unreachable", "s3://b")
    content = json.loads((tmp_path / FILE).read_text())
    content["findings"][0]["color"] = "red"
    (tmp_path / FILE).write_text(json.dumps(content))
    assert [each.place for each in made(tmp_path).all()] == ["s3://b"]


def test_what_can_not_be_written_is_known_to_this_process(tmp_path: Path) -> None:
    findings = made(tmp_path / "not there")
    findings.note("tier", 0, "unreachable", "s3://b")
    findings.flush()
    assert len(findings.all()) == 1
    (tmp_path / "not there").mkdir()
    findings.flush()
    assert len(made(tmp_path / "not there").all()) == 1


def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.02)
    held = os.open(tmp_path / "findings.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    findings = made(tmp_path)
    findings.note("tier", 0, "unreachable", "s3://b")
    assert len(findings.all()) == 1
    assert not (tmp_path / FILE).exists()
    os.close(held)
    findings.flush()
    assert len(made(tmp_path).all()) == 1


def test_a_writer_that_was_killed_leaves_what_was_there(tmp_path: Path) -> None:
    made(tmp_path).note("tier", 0, "unreachable", "s3://b")
    (tmp_path / f"{FILE}.part").write_text('{"findi')
    assert len(made(tmp_path).all()) == 1
    made(tmp_path).note("tier", 1, "unreachable", "s3://c")
    assert len(made(tmp_path).all()) == 2
    assert not (tmp_path / f"{FILE}.part").exists()
