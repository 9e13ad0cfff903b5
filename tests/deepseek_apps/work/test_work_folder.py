"""The work folder: one writer at a time, state that is whole, files that belong together."""

import json
import os
import subprocess
import sys
import time

import pytest

from deepseek_apps.work import fingerprint, manifest
from deepseek_apps.work.lock import alone
from deepseek_apps.work.state import State, Step, read_state
from deepseek_core import ApplicationSpec, Artifact, applications, errors

HOLDER = """
import sys, time
from pathlib import Path
from deepseek_apps.work.lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
CARD = applications.DataCard(
    source="rows.csv", license="CC0", parts={"train": 2, "test": 1}, split="by hash",
    split_hash="0" * 64, warnings=["a leak"],
)  # fmt: skip


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()


def test_a_second_writer_is_told_who_holds_the_folder(holder, tmp_path):
    begun_s = time.monotonic()
    with (
        pytest.raises(errors.ConfigError, match=f"process {holder.pid} is at work in"),
        alone(tmp_path, wait_s=0.2),
    ):
        pass
    assert time.monotonic() - begun_s < 10


def test_the_lock_of_a_killed_process_holds_nobody_up(holder, tmp_path):
    holder.kill()
    holder.wait(timeout=30)
    with alone(tmp_path, wait_s=5.0):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert (tmp_path / ".lock").read_text() == ""


def test_a_folder_that_is_not_there_has_no_lock(tmp_path):
    with pytest.raises(errors.WriteError, match="can't be made"), alone(tmp_path / "no"):
        pass


def test_a_state_comes_back_as_it_was(tmp_path):
    step = Step(made_with={"data": "abc"}, is_done=True, seconds=1.5, cpu_s=3.0, ended="now")
    state = State(application="rows", version="1", options={"steps": 3}, card=CARD)
    state.with_step("train:0", step).write(tmp_path)
    assert read_state(tmp_path) == state.with_step("train:0", step)
    assert read_state(tmp_path / "no") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is damaged"),
        ("[]", "has schema None"),
        ('{"schema": 2}', "has schema 2; this version reads 1"),
        ('{"schema": 1, "steps": {}, "more": 3}', "is damaged"),
        ('{"schema": 1, "application": "a", "version": "1", "steps": []}', "is damaged"),
    ],
)
def test_a_damaged_state_is_refused(text, said, tmp_path):
    (tmp_path / "app.json").write_text(text)
    with pytest.raises(errors.ArtifactError, match=said):
        read_state(tmp_path)


def test_a_fingerprint_hangs_on_names_and_contents_alone(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "a").write_text("1")
        (tmp_path / name / "sub" / "b").write_text("2")
    (tmp_path / "other" / ".hidden").write_text("x")
    first = fingerprint.of_folder(tmp_path / "one")
    assert first == fingerprint.of_folder(tmp_path / "other")
    (tmp_path / "other" / "sub" / "b").rename(tmp_path / "other" / "b")
    assert first != fingerprint.of_folder(tmp_path / "other")
    (tmp_path / "one" / "a").write_text("3")
    assert first != fingerprint.of_folder(tmp_path / "one")


class Exporting(applications.Application):
    """Exports what its class says; the other steps are not asked for."""

    def prepare(self, source, context):
        raise NotImplementedError

    def train(self, seed, context):
        raise NotImplementedError

    def evaluate(self, seeds, context):
        raise NotImplementedError

    def export(self, seed, target, context):
        (target / "model.bin").write_text("weights")
        return [Artifact.from_path(target / "model.bin")]

    def run(self, target, inputs, session):
        raise NotImplementedError


class Failing(Exporting):
    def export(self, seed, target, context):
        super().export(seed, target, context)
        raise errors.InputError("no such seed")


class Elsewhere(Exporting):
    def export(self, seed, target, context):
        path = target.parent / "elsewhere.bin"
        path.write_text("weights")
        return [Artifact.from_path(path)]


def export(kind, target):
    spec = ApplicationSpec(name="rows", factory="a:b", tasks=["class"], data="CSV")
    opened = applications.OpenedApplication(
        spec=spec, application=kind(), options={"columns": ("a", "b")}, version="1"
    )
    return manifest.export(opened, 0, target, applications.ApplicationContext(folder=target))


def test_an_export_appears_whole_with_a_hash_of_each_file(tmp_path):
    (artifact,) = export(Exporting, tmp_path / "files")
    assert artifact.path == tmp_path / "files" / "model.bin"
    kept = manifest.read(tmp_path / "files")
    assert kept["files"].keys() == {"model.bin"}
    assert (kept["application"], kept["options"]) == ("rows", {"columns": ["a", "b"]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]


@pytest.mark.parametrize(
    ("kind", "error"), [(Failing, errors.InputError), (Elsewhere, errors.PluginError)]
)
def test_an_export_that_fails_leaves_nothing(kind, error, tmp_path):
    with pytest.raises(error):
        export(kind, tmp_path / "files")
    assert not (tmp_path / "files").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_with_files_is_not_exported_to(tmp_path):
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(errors.ConfigError, match="is not empty"):
        export(Exporting, tmp_path)
    assert (tmp_path / "letter").read_text() == "dear"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.bin").unlink(), "model.bin is missing"),
        (lambda folder: (folder / "model.bin").write_text("x"), "changed, or of another run"),
        (lambda folder: (folder / "application.json").write_text("{}"), "is none of this version"),
        (lambda folder: (folder / "application.json").unlink(), "can't be read"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(damage, said, tmp_path):
    export(Exporting, tmp_path / "files")
    damage(tmp_path / "files")
    with pytest.raises(errors.ArtifactError, match=said):
        manifest.read(tmp_path / "files")


def test_a_full_disk_leaves_the_state_as_it_was(tmp_path, monkeypatch):
    State(application="rows", version="1").write(tmp_path)
    before = (tmp_path / "app.json").read_text()

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    from pathlib import Path

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(errors.WriteError, match="No space left"):
        State(application="rows", version="2").write(tmp_path)
    assert json.loads((tmp_path / "app.json").read_bytes()) == json.loads(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.json"]
