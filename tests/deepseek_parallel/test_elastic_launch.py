"""The launcher: workers that are started again, and scripts that know nothing of it."""

import subprocess
import sys

import pytest

from deepseek_core import errors
from deepseek_parallel.elastic.launch import Launch, main, numbers_of

# A worker that is killed once; its file says that it was.
ELASTIC = """
import os, signal, sys, pathlib, torch
from deepseek_parallel import ElasticRanks, RankLost, share
killed = pathlib.Path(sys.argv[1])
ranks = ElasticRanks.join()
total, step, must_meet = torch.zeros(1), 0, True
while step < 400 or (ranks.epoch < 3 and step < 100_000):
    try:
        if must_meet:
            total, step = share(total, step, ranks)
            must_meet = False
        if not ranks.changed():
            if step == 20 and ranks.rank == 0 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            total += 1
            step += 1
            continue
    except RankLost:
        pass
    ranks.renew()
    must_meet = True
print(f"rank {ranks.rank} of {ranks.size}: {total.item() == step}", flush=True)
ranks.leave()
"""
# Before the ranks meet, a program asks for the port that they were told.
PLAIN = """
import os, socket, torch, torch.distributed as dist
try:
    taken = socket.create_server((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))
except OSError:
    pass
dist.init_process_group("gloo")
one = torch.ones(1)
dist.all_reduce(one)
print(one.item(), flush=True)
if dist.get_rank() == 1:
    os._exit(3)  # an end by Python may be aborted by a thread of gloo: see `ending`
import time; time.sleep(100)
"""


def launched(*words):
    return subprocess.run(
        [sys.executable, "-m", "deepseek_parallel.elastic.launch", *words],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_a_killed_worker_is_started_again_and_joins(tmp_path):
    (tmp_path / "train.py").write_text(ELASTIC)
    found = launched("--nproc", "1:2", str(tmp_path / "train.py"), str(tmp_path / "killed"))
    assert found.returncode == 0, found.stderr
    assert "has ended with SIGKILL" in found.stderr
    assert "is started in its place" in found.stderr
    assert "True" in found.stdout
    assert "False" not in found.stdout


def test_a_worker_that_hangs_while_others_end_is_killed(tmp_path):
    (tmp_path / "train.py").write_text(
        "import os, signal\n"
        "if os.environ['RANK'] == '1':\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    found = launched("--nproc", "2", "--end", "0.5", str(tmp_path / "train.py"))
    assert found.returncode == 0, found.stderr
    assert "worker 1 has not ended 0.5 s after another one, and is killed" in found.stderr


def test_a_script_for_torchrun_works_and_its_first_error_ends_all(tmp_path):
    (tmp_path / "plain.py").write_text(PLAIN)
    found = launched("--nproc", "2", str(tmp_path / "plain.py"))
    assert "2.0" in found.stdout
    assert "worker 1 has ended with exit code 3" in found.stderr
    assert "is started" not in found.stderr
    assert found.returncode == 1


def test_the_launcher_itself_does_without_torch(tmp_path):
    """Which takes seconds to import, and memory beside the workers."""
    (tmp_path / "empty.py").write_text("")
    code = (
        "import sys\nsys.modules['torch'] = None\n"
        "from deepseek_parallel.elastic.launch import main\n"
        "sys.exit(main(['--nproc', '2', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "empty.py")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "wanted"), [("2", (2, 2)), ("1:4", (1, 4)), ("x", None), ("1:", (1, 1)), ("", None)]
)
def test_numbers_of_workers(text, wanted):
    if wanted is None:
        with pytest.raises(errors.ConfigError, match="number of workers must be"):
            numbers_of(text)
    else:
        assert numbers_of(text) == wanted


@pytest.mark.parametrize(
    "given", [{"least": 0}, {"least": 3}, {"lost_after_s": 0.1}, {"restarts": -1}]
)
def test_numbers_that_can_not_be_are_refused(given):
    with pytest.raises(errors.ConfigError):
        Launch(**{"command": ["true"], "least": 1, "most": 2, **given})


def test_a_command_that_does_not_exist_is_told():
    from deepseek_parallel.elastic.launch import run

    with pytest.raises(errors.ConfigError, match="can't be started"):
        run(Launch(command=["/nowhere/train"], least=1, most=1))


def test_errors_of_the_command_line_have_a_remedy(capsys):
    assert main(["--nproc", "4:2", "train.py"]) == 2
    assert "fix: give 2 for two workers" in capsys.readouterr().err
