"""Training that is killed, stopped or out of space goes on from its last whole checkpoint."""

import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import train_child
from process import one_thread
from torch import nn
from train_kit import data, net, quick, trained

from deepseek_compress.train import checkpoint as checkpoints
from deepseek_compress.train.checkpoint import read_checkpoint, write_checkpoint
from deepseek_compress.train.weights import weight_hash
from deepseek_core import errors

CHILD = Path(__file__).with_name("train_child.py")
EACH = 8  # batches of an epoch there


def as_the_child(checkpoint=None):
    """The child's training, in this process."""
    model = nn.Sequential(net(), nn.Dropout(0.1))
    return trained(model, options=quick(epochs=5), checkpoint=checkpoint)


@pytest.fixture(scope="module")
def expected():
    """The hash of the child's training when nobody disturbs it."""
    with one_thread():
        return weight_hash(as_the_child().model)


def started(*arguments):
    # Its own group and Python's own handler: a runner may have set SIGINT to be ignored.
    code = "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(CHILD), *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(
        [str(CHILD.parent), *filter(None, [os.environ.get("PYTHONPATH")])])}  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=env, start_new_session=True, **pipes)


class Forked:
    """The child as a fork of this process, which has torch: signals know no difference."""

    def __init__(self, *arguments):
        (out, told), (err, cause) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._train(told, cause, *arguments)
        os.close(told)
        os.close(cause)
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)

    @staticmethod
    def _train(told, cause, *arguments):
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.stdout = os.fdopen(told, "w")
            train_child.main(*arguments)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:  # noqa: BLE001 - as Python ends
            os.write(cause, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self, timeout):
        (ready, _, _) = select.select([self.stderr], [], [], timeout)
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
        with self.stdout, self.stderr:
            err = self.stderr.read()
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return "", err


def heard(child, batch):
    for line in child.stdout:
        if line.startswith(f"{batch}/"):
            return
    pytest.fail(f"it ended before batch {batch}: {child.stderr.read()}")


def ended(child):
    _, err = child.communicate(timeout=120)
    return child.returncode, err


def test_killed_in_two_places_it_ends_with_the_same_bytes(tmp_path, expected):
    kept = tmp_path / "training.checkpoint"
    for batch in (EACH + 3, 3 * EACH + 5):
        child = started(kept)
        heard(child, batch)
        child.send_signal(signal.SIGKILL)
        assert ended(child)[0] == -signal.SIGKILL
    last = as_the_child(kept)
    assert "gone on after epoch 3" in last.notes
    assert weight_hash(last.model) == expected
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_one_interrupt_waits_for_the_batch_and_the_run_goes_on_later(tmp_path, expected):
    kept = tmp_path / "training.checkpoint"
    child = Forked(kept)
    heard(child, 2 * EACH + 2)
    child.send_signal(signal.SIGINT)
    code, err = ended(child)
    assert code != 0
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert read_checkpoint(kept)["epoch"] == 2
    assert weight_hash(as_the_child(kept).model) == expected


def test_two_interrupts_end_it_at_once_and_leave_a_whole_checkpoint(tmp_path, expected):
    kept = tmp_path / "training.checkpoint"
    child = Forked(kept)
    heard(child, EACH + 1)
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        time.sleep(0.005)
    assert ended(child)[0] != 0
    assert read_checkpoint(kept)["epoch"] == 1
    assert weight_hash(as_the_child(kept).model) == expected


def test_an_interrupt_in_the_very_last_batch_is_not_lost(tmp_path):
    kept = tmp_path / "training.checkpoint"

    def late(done, of, _text):
        if done == of:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=kept, progress=late)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert read_checkpoint(kept)["epoch"] == 2  # nothing of it is lost, either


def test_handlers_of_others_are_left_alone():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        trained(progress=lambda done, *_: done == 3 and os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [1]


def test_a_finished_training_is_not_done_again(tmp_path):
    told = []
    kept = tmp_path / "training.checkpoint"
    first = trained(checkpoint=kept)
    second = trained(checkpoint=kept, progress=lambda *words: told.append(words))
    assert not told
    assert weight_hash(second.model) == weight_hash(first.model)
    assert second.epochs == first.epochs


@pytest.mark.parametrize("change", ["options", "data", "weights", "seed"])
def test_a_checkpoint_of_another_training_is_left_alone(tmp_path, change):
    kept = tmp_path / "training.checkpoint"
    trained(checkpoint=kept)
    more = {
        "options": {"options": quick(learning_rate=0.01)},
        "data": {"samples": data(512, seed=9)},
        "weights": {"model": net(seed=9)},
        "seed": {"seed": 9},
    }[change]
    resumed, fresh = trained(checkpoint=kept, **more), trained(**more)
    assert "training started again" in " ".join(resumed.notes)
    assert weight_hash(resumed.model) == weight_hash(fresh.model)


def test_early_stopping_goes_on_as_it_would_have(tmp_path):
    options = quick(epochs=6, validation_share=0.25, patience=2)
    whole = trained(options=options)
    kept = tmp_path / "training.checkpoint"

    def stop(done, _of, _text):
        if done == 20:
            raise errors.Interrupted("enough")

    with pytest.raises(errors.Interrupted):
        trained(options=options, checkpoint=kept, progress=stop)
    resumed = trained(options=options, checkpoint=kept)
    assert resumed.epochs == whole.epochs
    assert weight_hash(resumed.model) == weight_hash(whole.model)


def test_a_second_try_goes_on_as_second_try(tmp_path):
    options = quick(epochs=3, learning_rate=4.0, warmup=0.0)
    whole = trained(options=options)
    kept = tmp_path / "training.checkpoint"
    seen = []

    def stop(done, _of, _text):
        seen.append(done)
        if seen.count(18) == (2 if 18 in seen[:-1] else 1) and seen.count(1) == 2 and done == 18:
            raise errors.Interrupted("enough")

    with pytest.raises(errors.Interrupted):
        trained(options=options, checkpoint=kept, progress=stop)
    assert read_checkpoint(kept)["attempt"] == 1
    resumed = trained(options=options, checkpoint=kept)
    assert weight_hash(resumed.model) == weight_hash(whole.model)
    assert "trained again" in " ".join(resumed.notes)


@pytest.mark.parametrize("place", [0, 40, 100, -1])
def test_a_damaged_checkpoint_is_noticed(tmp_path, place):
    kept = tmp_path / "training.checkpoint"
    trained(checkpoint=kept)
    content = bytearray(kept.read_bytes())
    content[place] ^= 1
    kept.write_bytes(content)
    with pytest.raises(errors.ArtifactError, match="damaged"):
        read_checkpoint(kept)
    found = trained(checkpoint=kept)
    assert "is damaged: training started again" in " ".join(found.notes)
    assert weight_hash(found.model) == weight_hash(trained().model)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    kept = tmp_path / "evil"

    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    write_checkpoint(kept, {"fingerprint": Evil()})
    with pytest.raises(errors.ArtifactError):
        read_checkpoint(kept)
    assert not (tmp_path / "ran").exists()


def test_no_room_is_told_and_the_last_checkpoint_stays(tmp_path):
    kept = tmp_path / "training.checkpoint"
    write_checkpoint(kept, {"epoch": 1})
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    partial = tmp_path / f"{kept.name}.{os.getpid()}.part"
    partial.symlink_to("/dev/full")
    with pytest.raises(errors.WriteError, match="No space left") as caught:
        write_checkpoint(kept, {"epoch": 2})
    assert caught.value.remedy
    assert read_checkpoint(kept) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.WriteError):
        trained(checkpoint=tmp_path / "file" / "training.checkpoint")


def test_the_file_is_what_its_docstring_says(tmp_path):
    kept = tmp_path / "some"
    write_checkpoint(kept, {"epoch": 1})
    assert kept.read_bytes().startswith(checkpoints.MAGIC)
    assert read_checkpoint(tmp_path / "none") is None
