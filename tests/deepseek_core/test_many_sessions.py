"""Many sessions, one after the other and at once, leave nothing and lose nothing."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core import LatencyClass
from deepseek_core.runtime.history import History

X = {"x": np.ones((3, 2))}


def held():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted there")
def test_sessions_that_were_closed_hold_no_file_and_no_thread(tmp_path):
    def one():
        with plain_session(tmp_path, "a", "wide") as session:
            plan = session.plan(chain(), batch=3)
            assert [r["z"][0, 0] for r in plan.stream([X] * 3)] == [4.0] * 3

    one()
    before = held()
    for _ in range(100):
        one()
    assert held() == before


def test_sessions_at_once_share_a_folder(tmp_path):
    found = []

    def work():
        with plain_session(tmp_path, "a") as session:
            session.calibrate(chain(), inputs=X, rounds=2)
            found.append(session.plan(chain(), batch=3).run(X)["z"][0, 0])

    threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [4.0] * 6
    history = History(tmp_path / "history.sqlite")
    assert len(history.records()) == 6 * 2 * 2
    history.close()


MEASURE = """
import sys
from pathlib import Path
from deepseek_core import LatencyClass
from deepseek_core.runtime.history import History
from deepseek_core.schedule.cost import Sample

print("ready", flush=True)
sys.stdin.readline()
history = History(Path(sys.argv[1]))
for turn in range(20):
    history.add("device", sys.argv[2], LatencyClass.OFFLINE, (Sample(1, 1.0 + turn),))
history.close()
"""


@pytest.mark.parametrize("content", [None, b"no database"], ids=["new", "damaged"])
def test_processes_that_begin_at_once_write_one_history(content, tmp_path):
    path, names = tmp_path / "history.sqlite", ["one", "two", "three"]
    if content is not None:
        path.write_bytes(content)
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", MEASURE, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    assert [job.stdout.readline() for job in jobs] == ["ready\n"] * 3
    for job in jobs:
        job.stdin.write("go\n")
        job.stdin.flush()
    said = [job.communicate(timeout=60)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], said
    history = History(path)
    counts = [len(history.samples("device", n, LatencyClass.OFFLINE)) for n in names]
    history.close()
    assert counts == [20, 20, 20]
    aside = [file.read_bytes() for file in tmp_path.glob("*.corrupt-*")]
    assert aside == ([] if content is None else [content])
