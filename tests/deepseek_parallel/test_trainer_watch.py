"""What people and tools see of a training: the line, the log, TensorBoard's events, the page."""

import json
import re
import struct

import pytest
import trainer_jobs as jobs
from page_rules import faults
from process import one_thread

from deepseek_core import errors
from deepseek_parallel.trainer.evaluation import Evaluation
from deepseek_parallel.trainer.events import Event
from deepseek_parallel.trainer.report import Recovery
from deepseek_parallel.trainer.trainer import Trainer
from deepseek_parallel.trainer.watch.page import write_page
from deepseek_parallel.trainer.watch.tensorboard import TensorBoard


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A training with a log, and the lines that were shown."""
    folder, shown = tmp_path_factory.mktemp("runs"), []
    model = jobs.plain()
    wanted = Evaluation(data=jobs.data(20, seed=2), every=4)
    with one_thread():
        report = Trainer(
            model, jobs.sgd(model), jobs.mean, jobs.data(), batch=10, evaluate=wanted,
            log=folder / "one", checkpoint=folder / "saved", save_every=3,
        ).fit(steps=8, show=lambda *line: shown.append(line))  # fmt: skip
    return folder / "one", report, shown


def test_the_line_says_how_far_it_is_and_what_was_saved(watched):
    _, report, shown = watched
    assert [done for done, _, _ in shown] == list(range(1, 9))
    _, steps, text = shown[-1]
    assert steps == 8
    assert re.fullmatch(
        r"step 8/8 \| loss [\d.]+ \| [\d,]+ samples/s \| evaluated loss [\d.]+"
        r" \| checkpoint 6 (saved|saving)",
        text,
    )
    assert f"loss {report.loss:.4g}" in text


def test_the_log_has_a_line_of_json_for_each_event(watched):
    folder, report, _ = watched
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 9))
    assert tuple(line["loss"] for line in steps) == report.losses
    assert {"samples_per_s", "imbalance", "wire_nbytes", "lr", "epoch"} <= set(steps[0])
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [4, 8]
    saved = [line["of_step"] for line in lines if line.get("text") == "saved"]
    assert saved == [3, 6, 8] == list(report.checkpoints)
    assert lines[-1]["kind"] == "end"


def records(data):
    """The records of a file of events, whose lengths are checked."""
    while data:
        (length,) = struct.unpack_from("<Q", data)
        assert len(data) >= length + 16
        yield data[12 : 12 + length]
        data = data[16 + length :]


def test_events_are_records_of_tensorflow(watched):
    folder, _, _ = watched
    (file,) = folder.glob("events.out.tfevents.*")
    found = list(records(file.read_bytes()))
    assert b"brain.Event:2" in found[0]
    assert sum(b"train/loss" in one for one in found) == 8
    assert sum(b"evaluation/loss" in one for one in found) == 2


def test_checksums_are_those_of_tfrecord(tmp_path):
    """By the published check values of CRC-32C: "123456789" is e3069283, masked by TFRecord."""
    from deepseek_parallel.trainer.watch import tensorboard

    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert tensorboard._checksum(b"123456789") == struct.pack("<I", masked)


def test_tensorboard_reads_what_was_written(tmp_path):
    """Numbers beyond float32 and NaN among them."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard isn't installed",
    )
    board = TensorBoard(tmp_path)
    for step, loss in ((1, 0.5), (300, 1e300), (2**40, float("nan"))):
        board(Event(kind="step", step=step, samples=1, epoch=0.1, figures={"loss": loss}))
    board.close()
    read = accumulator.EventAccumulator(str(tmp_path)).Reload()
    found = [(one.step, one.value) for one in read.Scalars("train/loss")]
    assert found[:2] == [(1, 0.5), (300, float("inf"))]
    assert found[2][0] == 2**40
    assert found[2][1] != found[2][1]


def test_the_page_keeps_the_rules_of_all_pages(watched, tmp_path):
    import attrs

    folder, report, _ = watched
    text = (folder / "report.html").read_text()
    assert not faults(text)
    assert "Loss of each step" in text
    changed = attrs.evolve(
        report, losses=(1.0, float("nan"), -2.0) * 700, evaluations=(),
        recoveries=(Recovery(step=3, before=4, after=3, lost=1, joined=0, seconds=0.2),),
    )  # fmt: skip
    write_page(tmp_path / "more.html", changed, [("model", "<b>")])
    more = (tmp_path / "more.html").read_text()
    assert not faults(more)
    assert "Each point is the mean of" in more
    assert "&lt;b&gt;" in more
    assert ">-0.5<" in more  # the mean of 1 and -2: a likelihood may be below 0


def test_a_log_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    model = jobs.plain()
    trainer = Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(), batch=10, log=tmp_path / "file" / "one"
    )
    with pytest.raises(errors.WriteError, match=r"log\.jsonl can't be written"):
        trainer.fit(steps=1)


def test_a_disk_that_is_full_ends_the_training_by_name(tmp_path):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    model = jobs.plain()
    trainer = Trainer(model, jobs.sgd(model), jobs.mean, jobs.data(), batch=10, log=tmp_path)
    with pytest.raises(errors.WriteError, match=r"log\.jsonl can't be written: No space left"):
        trainer.fit(steps=1)
