"""`ds-sdk app`: the steps of an application of somebody else, from its data to its answers."""

import argparse
import json
import os
import signal
import subprocess
import sys

import pytest

from deepseek_core.cli import main


def said(capsys, *words, code=0):
    """Run a command; what it printed to stdout, or to stderr where it is refused."""
    assert main(["app", *map(str, words)]) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    return out if code == 0 else err


@pytest.fixture
def trained(plugin, rows, tmp_path, capsys):
    """A work folder with two seeds."""
    work = tmp_path / "work"
    said(capsys, plugin, "prepare", work, "--data", rows, "--set", "steps=40")
    said(capsys, plugin, "train", work, "--seeds", "0,1")
    return work


def test_the_list_shows_ours_and_those_of_others(plugin, capsys):
    assert {"acme_rows", "ctr", "defects", "translate"} <= {
        line.split()[0] for line in said(capsys, "list").splitlines()
    }
    facts = json.loads(said(capsys, "list", "--json"))["applications"]
    mine = next(each for each in facts if each["name"] == plugin)
    assert (mine["dist"], mine["tasks"], mine["reason"]) == ("acme-rows", ["class"], None)


def test_help_names_steps_and_options_with_their_defaults(plugin, capsys):
    text = said(capsys, plugin, "--help")
    assert "prepare" in text
    assert "steps    steps of a training (default: 200)" in text
    for step in ("prepare", "train", "evaluate", "export", "run", "report"):
        assert f"ds-sdk app {plugin} {step} work" in said(capsys, plugin, step, "--help")


def test_a_job_goes_from_data_to_answers(trained, plugin, tmp_path, capsys):
    text = said(capsys, plugin, "evaluate", trained)
    assert "softmax regression is better than commonest class: accuracy" in text
    assert "rows.onnx" in said(capsys, plugin, "export", trained)
    asked = tmp_path / "asked.csv"
    asked.write_text("x,y\n0,0\n4,4\n")
    answers = [
        json.loads(line) for line in said(capsys, plugin, "run", trained, asked).splitlines()
    ]
    assert [answer["class"] for answer in answers] == ["a", "c"]
    said(capsys, plugin, "run", trained, asked, "-o", tmp_path / "answers.jsonl")
    kept = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert list(map(json.loads, kept)) == answers
    said(capsys, plugin, "report", trained)
    report = json.loads((trained / "report.json").read_text())
    assert report["data"]["split_hash"] in (trained / "report.html").read_text()
    assert report["outcomes"][0]["outcome"] == "better"
    assert report["cpu_s"].keys() == {"prepare", "train:0", "train:1", "evaluate"}


def test_the_exported_model_is_one_that_ds_sdk_run_takes(trained, plugin, tmp_path, capsys):
    import numpy as np

    said(capsys, plugin, "export", trained, "-o", tmp_path / "files", "--seed", 1)
    np.savez(tmp_path / "x.npz", x=np.array([[0, 0], [4, 4]], np.float32))
    model = str(tmp_path / "files" / "rows.onnx")
    words = ["run", model, "--input", str(tmp_path / "x.npz"), "--output", str(tmp_path / "y.npz")]
    assert main(words) == 0
    with np.load(tmp_path / "y.npz") as found:
        assert found["probabilities"].argmax(1).tolist() == [0, 2]


def test_an_option_that_was_settled_is_refused_at_a_run(trained, plugin, tmp_path, capsys):
    said(capsys, plugin, "export", trained)
    asked = tmp_path / "asked.csv"
    asked.write_text("x,y\n0,0\n")
    refused = said(capsys, plugin, "run", trained, asked, "--set", "steps=3", code=2)
    assert "steps can't be set for a run" in refused
    assert "here may be set: nothing" in refused


def test_a_seed_that_was_trained_is_left_as_it_is(trained, plugin, capsys):
    before = (trained / "seed-0" / "weights.npz").stat().st_mtime_ns
    found = json.loads(said(capsys, plugin, "train", trained, "--seeds", "0-2", "--json"))
    assert (found["trained"], found["before"]) == ([2], [0, 1])
    assert (trained / "seed-0" / "weights.npz").stat().st_mtime_ns == before


def test_changed_data_or_options_are_said_and_train_again_helps(trained, plugin, rows, capsys):
    said(capsys, plugin, "evaluate", trained)
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:200]))
    said(capsys, plugin, "prepare", trained, "--data", rows, "--again", "--set", "steps=50")
    refused = said(capsys, plugin, "train", trained, code=2)
    assert "data and options in" in refused
    assert f"train {trained} --seeds 0 --again" in refused
    assert "were changed since" in said(capsys, plugin, "evaluate", trained, code=2)
    assert "were changed since" in said(capsys, plugin, "export", trained, code=2)
    assert "were changed since" in said(capsys, plugin, "report", trained, code=2)
    said(capsys, plugin, "train", trained, "--again")
    said(capsys, plugin, "evaluate", trained, "--seed", "0")


def test_a_training_done_anew_needs_another_evaluation(trained, plugin, capsys):
    said(capsys, plugin, "evaluate", trained)
    said(capsys, plugin, "train", trained, "--again")
    assert "nothing was evaluated" in said(capsys, plugin, "report", trained, code=2)


def test_data_that_somebody_changed_by_hand_are_refused(trained, plugin, capsys):
    (trained / "data" / "train.npz").write_bytes(b"of another run")
    assert "is not what was prepared" in said(capsys, plugin, "train", trained, code=2)
    assert "is not what was prepared" in said(capsys, plugin, "evaluate", trained, code=2)


def test_exported_files_that_were_swapped_are_refused(trained, plugin, tmp_path, capsys):
    said(capsys, plugin, "export", trained)
    (trained / "export" / "classes.json").write_text('{"label": "label", "names": ["b", "a", "c"]}')
    asked = tmp_path / "asked.csv"
    asked.write_text("x,y\n0,0\n")
    refused = said(capsys, plugin, "run", trained, asked, code=2)
    assert "classes.json is not the file that was exported with the others" in refused
    assert "export again, with --again" in refused
    assert "is not empty" in said(capsys, plugin, "export", trained, code=2)
    said(capsys, plugin, "export", trained, "--again")
    said(capsys, plugin, "run", trained, asked)


def test_another_export_takes_the_place_only_when_that_is_asked(trained, plugin, capsys):
    said(capsys, plugin, "export", trained)
    assert "is not empty" in said(capsys, plugin, "export", trained, "--seed", 1, code=2)
    said(capsys, plugin, "export", trained, "--seed", 1, "--again")
    assert json.loads((trained / "export" / "application.json").read_text())["seed"] == 1


def test_an_export_that_fails_leaves_the_one_before(trained, plugin, capsys):
    said(capsys, plugin, "export", trained)
    before = (trained / "export" / "application.json").read_text()
    (trained / "seed-1" / "weights.npz").write_bytes(b"of a disk that failed")
    assert main(["app", plugin, "export", str(trained), "--seed", "1", "--again"]) != 0
    assert (trained / "export" / "application.json").read_text() == before
    assert [path.name for path in trained.iterdir() if path.name.startswith(".export")] == []


def test_what_was_not_exported_is_not_replaced(trained, plugin, capsys):
    said(capsys, plugin, "export", trained)
    (trained / "export" / "notes.txt").write_text("mine")
    refused = said(capsys, plugin, "export", trained, "--again", code=2)
    assert "notes.txt was not exported" in refused
    assert (trained / "export" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (
            ["acme_row", "train", "w"],
            "offers an application 'acme_row'",
            "did you mean 'acme_rows'?",
        ),
        (["lst"], "no plugin offers", "did you mean 'list'?"),
        (["train", "w"], "is a step of an application", "ds-sdk app acme_rows train ..."),
        (["acme_rows", "trian"], "has no command 'trian'", "did you mean 'train'?"),
        (["acme_rows", "train", "w"], "nothing was prepared in w", "prepare w --data DATA"),
        (["acme_rows", "train", "w", "--seeds", "4-1"], "seeds '4-1'", "--seeds 0-4"),
        (["acme_rows", "train", "w", "--seeds", "-1"], "seeds '-1'", "--seeds 0-4"),
        (["acme_rows", "train", "w", "--threads", "0"], "--threads must be 1", "--threads 1"),
        (["acme_rows", "prepare", "w", "--data", "no"], "no such file", "check --data"),
        (["acme_rows", "prepare", "w", "--data", "no://x"], "not a URL that fsspec", "ds://KEY"),
        (["acme_rows", "prepare", "w", "--data", "memory://no"], "nothing lies at", "--data"),
        (["acme_rows", "prepare", "w"], "--data", "--help"),
        (["acme_rows", "run", "w", "no.csv"], "no such file: no.csv", "check the path"),
        (["acme_rows", "report", "w"], "w is no work folder", "prepare"),
    ],
)
def test_a_wrong_word_is_refused_with_what_to_do(
    words, message, remedy, plugin, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    text = said(capsys, *words, code=2)
    assert message in text
    assert remedy in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pairs", "said_"),
    [
        (["step=3"], "did you mean steps?"),
        (["steps=few"], "steps must be a whole number, got 'few'"),
        (["steps"], "has no name and value"),
        (["steps=3", "steps=4"], "given twice"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(pairs, said_, plugin, rows, tmp_path, capsys):
    words = [word for pair in pairs for word in ("--set", pair)]
    work = tmp_path / "work"
    assert said_ in said(capsys, plugin, "prepare", work, "--data", rows, *words, code=2)
    assert not work.exists()


def test_data_that_are_refused_leave_nothing_half_written(trained, plugin, tmp_path, capsys):
    one_class = tmp_path / "one.csv"
    one_class.write_text("x,y,label\n1,2,a\n2,3,a\n")
    fresh = tmp_path / "fresh"
    said(capsys, plugin, "prepare", fresh, "--data", one_class, code=2)
    assert not fresh.exists()
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    said(capsys, plugin, "prepare", trained, "--data", one_class, "--again", code=2)
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    said(capsys, plugin, "evaluate", trained)


def test_a_folder_of_somebody_else_is_left_alone(plugin, rows, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    refused = said(capsys, plugin, "prepare", mine, "--data", rows, "--again", code=2)
    assert "holds files of somebody else" in refused
    assert [path.name for path in mine.iterdir()] == ["letter"]


def test_a_work_folder_within_the_data_is_refused(plugin, rows, capsys):
    work = rows.parent / "inside" / "work"
    refused = said(capsys, plugin, "prepare", work, "--data", rows.parent, code=2)
    assert "lies in the data" in refused
    assert not work.parent.exists()


def test_a_work_folder_that_is_a_file_is_left_alone(plugin, rows, tmp_path, capsys):
    letter = tmp_path / "letter"
    letter.write_text("dear")
    assert "somebody else" in said(capsys, plugin, "prepare", letter, "--data", rows, code=2)
    assert letter.read_text() == "dear"


def test_a_second_process_waits_for_the_first_and_then_says_who_it_is(trained, plugin, capsys):
    from deepseek_apps.work import folder as module
    from deepseek_apps.work.lock import alone

    def hasty(path):
        return alone(path, wait_s=0.1)

    with alone(trained), pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "alone", hasty)
        for words in (["train"], ["evaluate"], ["export"]):
            refused = said(capsys, plugin, *words, trained, code=2)
            assert f"process {os.getpid()} is at work in" in refused


def test_a_work_folder_may_be_a_link_and_may_be_moved(trained, plugin, tmp_path, capsys):
    (tmp_path / "link").symlink_to(trained)
    said(capsys, plugin, "evaluate", tmp_path / "link")
    trained.rename(tmp_path / "moved")
    said(capsys, plugin, "train", tmp_path / "moved", "--seeds", "0-2")
    said(capsys, plugin, "evaluate", tmp_path / "moved")


def test_a_damaged_state_is_refused_by_every_step(trained, plugin, rows, capsys):
    (trained / "app.json").write_text("{")
    for words in (["train"], ["evaluate"], ["export"], ["report"], ["prepare", "--data", rows]):
        assert "app.json is damaged" in said(capsys, plugin, words[0], trained, *words[1:], code=2)


def test_a_work_folder_of_another_application_says_whose_it_is(trained, capsys):
    refused = said(capsys, "ctr", "train", trained, code=2)
    assert "is a work folder of 'acme_rows'" in refused


def test_reports_of_several_jobs_stand_on_one_page(trained, plugin, tmp_path, capsys):
    said(capsys, plugin, "evaluate", trained)
    said(capsys, plugin, "report", trained)
    page = tmp_path / "side.html"
    said(capsys, plugin, "report", trained, trained / "report.json", "-o", page)
    assert "1. acme_rows" in page.read_text()
    assert "2. acme_rows" in page.read_text()
    both = json.loads(said(capsys, plugin, "report", trained, trained / "report.json", "--json"))
    assert both["reports"][0]["evaluation"] == both["reports"][1]["evaluation"]


def test_ctrl_c_ends_a_training_and_the_same_command_goes_on(made_plugin, rows, tmp_path):
    from deepseek_core.discovery.distributions import import_path

    path = os.pathsep.join([*map(str, made_plugin), *import_path()])
    call = [sys.executable, "-P", "-m", "deepseek_core", "app", "acme_rows"]
    environment = os.environ | {"PYTHONPATH": path}
    work = str(tmp_path / "work")
    prepare = [*call, "prepare", work, "--data", str(rows), "--set", "steps=30000"]
    subprocess.run(prepare, check=True, env=environment, capture_output=True, timeout=60)
    training = subprocess.Popen([*call, "train", work], env=environment, stderr=subprocess.PIPE)
    # Before its first step NumPy is imported, and Cython may pass a signal over meanwhile.
    assert b"fitting" in training.stderr.readline()
    training.send_signal(signal.SIGINT)
    assert training.wait(timeout=60) == 130
    training.stderr.close()
    state = json.loads((tmp_path / "work" / "app.json").read_text())
    assert not state["steps"]["train:0"]["is_done"]
    again = subprocess.run(
        [*call, "train", work, "--json"],
        env=environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(again.stdout)["trained"] == [0]


@pytest.mark.parametrize(
    ("told", "threads"), [("3", 3), ("4,2", 4), ("0", None), ("many", None), ("", None)]
)
def test_a_training_takes_the_threads_of_the_environment_or_all(told, threads, monkeypatch):
    from deepseek_apps.cli import common
    from deepseek_core import console

    monkeypatch.setenv("OMP_NUM_THREADS", told)
    parser = argparse.ArgumentParser()
    common.add_folder(parser, all_cores=True)
    assert parser.parse_args(["work"]).threads == (threads or console.usable_cores())
    assert parser.parse_args(["work", "--threads", "2"]).threads == 2
