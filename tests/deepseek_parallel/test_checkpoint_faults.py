"""What goes wrong with checkpoints is told by name, and never loads by half."""

import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
from datetime import datetime
from pathlib import Path

import checkpoint_ranks as work
import fsspec
import pytest
import rank_processes as group
import torch
import torch.distributed.checkpoint as dcp
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from deepseek_core import errors, events
from deepseek_core.testing import listening
from deepseek_parallel import (
    AnotherWriter,
    CheckpointDamaged,
    CheckpointMissing,
    Checkpoints,
    SaveFailed,
    StateMismatch,
)
from deepseek_parallel.checkpoint import checkpoints as module
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint import saving
from deepseek_parallel.ckpt_cli.main import main as ckpt


@pytest.fixture(scope="module", autouse=True)
def _warm():
    work.warm()


@pytest.fixture
def url(tmp_path):
    """Two checkpoints, of steps 1 and 2."""
    for step in (1, 2):
        saved(str(tmp_path / "run"), step)
    return str(tmp_path / "run")


def saved(url, step, **options):
    net, optimizer = work.plain()
    work.stepped(net, optimizer, step)
    with Checkpoints(url, **options) as checkpoints:
        return checkpoints.save(step, net.state_dict(), optimizer.state_dict()).wait()


def given(seed=5):
    net, optimizer = work.plain(seed)
    return net.state_dict(), optimizer.state_dict()


def folder_of(url, step):
    (found,) = Path(url).glob(f"*-step-{step}-*")
    return found


def flip(path, at=-100):
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["model", "optimizer"])
@pytest.mark.parametrize("name", ["__0_0.distcp", "index.pt"])
def test_a_flipped_bit_is_found_by_its_hash_and_nothing_changed(url, part, name):
    path = folder_of(url, 2) / part / name
    flip(path)
    model, state = given()
    before = work.digest(model, state)
    with pytest.raises(CheckpointDamaged, match="has other bytes") as told:
        Checkpoints(url).load(model, state)
    assert told.value.file == str(path)
    assert "ds-sdk ckpt verify" in told.value.remedy
    assert work.digest(model, state) == before
    Checkpoints(url).load(model, state, step=1)
    assert work.digest(model, state) != before


def test_a_file_that_is_missing_or_short_is_named(url):
    path = folder_of(url, 2) / "model" / "__0_0.distcp"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointDamaged, match=r"bytes, and .* were saved"):
        Checkpoints(url).load(given()[0])
    path.unlink()
    with pytest.raises(CheckpointDamaged, match=r"__0_0.distcp is missing"):
        Checkpoints(url).load(given()[0])


def other(**layers):
    net, _ = work.plain()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net.state_dict(), torch.optim.AdamW(net.parameters()).state_dict()


def fewer():
    net, _ = work.plain()
    del net[2]
    return net.state_dict(), None


def as_bf16():
    net, _ = work.plain()
    return net.to(torch.bfloat16).state_dict(), None


def sgd():
    net, _ = work.plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    work.stepped(net, optimizer, 1)
    return net.state_dict(), optimizer.state_dict()


def two_groups():
    net, _ = work.plain()
    options = [{"params": net[0].parameters()}, {"params": net[2].parameters()}]
    return net.state_dict(), torch.optim.AdamW(options).state_dict()


def by_rank():
    net, optimizer = work.plain()
    return net.state_dict(), {**optimizer.state_dict(), "compression": {"rank": 0}}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: other(**{"2": torch.nn.Linear(31, 4)}),
         r"2.weight is torch.float32 \(4, 31\) here, and torch.float32 \(3, 31\) was saved"),
        (lambda: other(last=torch.nn.Linear(3, 3)), "last.weight is not in the checkpoint"),
        (fewer, "2.bias was saved, and this model has no such tensor"),
        (as_bf16, "torch.bfloat16 .* here, and torch.float32"),
        (sgd, "state.0.momentum_buffer is not in the checkpoint"),
        (two_groups, "2 groups of parameters, and 1 were saved"),
        (by_rank, "the same one on all ranks, and here it is another one on each rank"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_model_is_told_by_parameter_and_both_shapes(url, make, told):
    model, state = make()
    before = work.digest(model, state or {})
    with pytest.raises(StateMismatch, match=told):
        Checkpoints(url).load(model, state)
    assert work.digest(model, state or {}) == before


def test_a_torn_save_does_not_exist(url, tmp_path):
    (folder_of(url, 2) / "manifest.json").unlink()
    assert Checkpoints(url).latest().step == 1
    with pytest.raises(CheckpointMissing, match=r"no checkpoint of step 2 -> steps .* 1"):
        Checkpoints(url).load(given()[0], step=2)
    (folder_of(url, 1) / "manifest.json").unlink()
    assert Checkpoints(url).latest() is None
    with pytest.raises(CheckpointMissing, match="did not come to their end"):
        Checkpoints(url).load(given()[0])
    with pytest.raises(CheckpointMissing, match="see to the URL"):
        Checkpoints(str(tmp_path / "nothing")).load(given()[0])


@pytest.mark.parametrize(
    "spoil",
    [lambda d: d[:-20], lambda d: b"", lambda d: b"[]", lambda d: b"\xff" * 50,
     lambda d: b"[" * 100_000, lambda d: d.replace(b'"step": 2', b'"step": 9')],
)  # fmt: skip
def test_a_manifest_with_other_bytes_is_told_and_not_passed_over(url, spoil):
    path = folder_of(url, 2) / "manifest.json"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises((CheckpointDamaged, errors.ArtifactError), match=r"manifest.json"):
        Checkpoints(url).latest()
    Checkpoints(url).load(given()[0], step=1)
    assert saved(url, 3).sequence == 3, "a training can go on beside it"
    assert Checkpoints(url).latest().step == 3


def test_what_is_not_a_checkpoint_is_passed_over(url):
    for name, text in (("web", '{"name": "app"}'), ("notes", "not JSON"), ("x", "[]")):
        Path(url, name).mkdir()
        Path(url, name, "manifest.json").write_text(text)
    Path(url, "odd", "manifest.json").mkdir(parents=True)
    Path(url, "file").write_text("mine")
    assert Checkpoints(url).latest().step == 2
    assert saved(url, 3, keep=1).step == 3
    names = {path.name for path in Path(url).iterdir()}
    assert names == {folder_of(url, 3).name, "web", "notes", "x", "odd", "file"}


def told_by(content):
    return {**content, "sha256": manifests._hash_of(content)}


def test_a_manifest_of_the_future_says_to_update(url):
    path = folder_of(url, 2) / "manifest.json"
    content = json.loads(path.read_bytes()) | {"format": 2, "new": "field"}
    path.write_text(json.dumps(content))
    with pytest.raises(errors.ArtifactError, match="format 2, and this version reads") as told:
        Checkpoints(url).latest()
    assert "deepseek-parallel" in told.value.remedy or "parallel_torch" in told.value.remedy


@pytest.mark.parametrize("path", ["../../secret", "model/../../x", "/etc/passwd", "model/", "x/y"])
def test_a_manifest_can_t_lead_out_of_its_folder(url, path):
    place = folder_of(url, 2) / "manifest.json"
    content = json.loads(place.read_bytes())
    del content["sha256"]
    content["files"][0]["path"] = path
    place.write_text(json.dumps(told_by(content)))
    with pytest.raises(CheckpointDamaged, match="leads elsewhere"):
        Checkpoints(url).load(given()[0])


class Evil:
    """Makes a file where it is read as a pickle."""

    mark = Path()

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", [".metadata", "index.pt", "__0_0.distcp"])
def test_no_code_of_a_checkpoint_is_run(url, name, tmp_path):
    """Its hashes are right, too: whoever made it made them."""
    Evil.mark = tmp_path / "was-run"
    folder = folder_of(url, 2)
    torch.save(Evil(), tmp_path / "evil.pt")
    data = (tmp_path / "evil.pt").read_bytes()
    if name == ".metadata":
        data = pickle.dumps(Evil())
    if name == "__0_0.distcp":
        whole = (folder / "model" / name).read_bytes()
        data = data + whole[len(data) :]
    (folder / "model" / name).write_bytes(data)
    content = json.loads((folder / "manifest.json").read_bytes())
    del content["sha256"]
    for file in content["files"]:
        if file["path"] == f"model/{name}":
            file.update(nbytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(told_by(content)))
    if name == ".metadata":
        Checkpoints(url).load(given()[0])  # it is for others, and not read
        with pytest.raises(CheckpointDamaged, match="does not describe tensors"):
            ckpt(["inspect", url, "--step", "2", "--tensors"])
    else:
        with pytest.raises(CheckpointDamaged, match="can't be read"):
            Checkpoints(url).load(given()[0])
    assert not Evil.mark.exists()


def holding(url, pipe):
    checkpoints = Checkpoints(url)
    net, _ = work.plain()
    checkpoints.save(5, net.state_dict()).wait()
    pipe.send("saved")
    pipe.recv()
    saving = checkpoints.save(6, net.state_dict())
    pipe.send(group.told(saving.wait))
    signal.pause()


def test_two_processes_that_save_to_one_url(url):
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=holding, args=(url, theirs))
    process.start()
    assert mine.poll(20) and mine.recv() == "saved"
    with pytest.raises(AnotherWriter, match=rf"process {process.pid} on .* saves checkpoints to"):
        saved(url, 7)
    # As one of another machine, which can't be asked: the later one has it.
    claimed = Path(url, "writer.json")
    told = json.loads(claimed.read_bytes())
    told["processes"][0]["machine"] = "elsewhere"
    claimed.write_text(json.dumps(told))
    second = Checkpoints(url)
    second.save(8, work.plain()[0].state_dict()).wait()
    mine.send("go on")
    assert mine.poll(20)
    kind, text = mine.recv()
    assert kind == "AnotherWriter"
    assert str(os.getpid()) in text
    second.close()
    assert not claimed.exists()
    process.kill()
    process.join()
    assert Checkpoints(url).latest().step == 8


def test_the_claim_of_a_process_that_is_gone_is_taken_over(url):
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=holding, args=(url, theirs))
    process.start()
    assert mine.poll(20)
    process.kill()
    process.join()
    assert Path(url, "writer.json").exists()
    assert saved(url, 7).step == 7


@pytest.mark.parametrize("below", ["file/run", "file"])
def test_a_url_that_can_t_be_written(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.WriteError, match="can't be written"):
        saved(str(tmp_path / below), 1)


def small_files(url, pipe):
    """A limit on the bytes of a file stands for a disk that is full: the same OSError."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    net, optimizer = work.plain()
    checkpoints = Checkpoints(url)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    saving = checkpoints.save(3, {"big": torch.zeros(100_000)}, optimizer.state_dict())
    work.stepped(net, optimizer, 2)  # the training goes on
    failed = group.told(saving.wait)
    cause = saving.error.__cause__.__cause__.errno
    left = [str(p) for p in Path(url).rglob("*.distcp") if "-step-3-" in str(p)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    checkpoints.save(4, net.state_dict(), optimizer.state_dict()).wait()
    checkpoints.close()
    pipe.send((failed, cause, left, checkpoints.latest().step))


def heard_of_small_files(url, pipe):
    """The same, and the events of it."""
    with listening() as heard:
        small_files(url, pipe)
    pipe.send(heard.all())


def test_a_save_whose_files_are_taken_away_ends_at_once(url, monkeypatch):
    """And does not wait ten minutes for what it has written itself."""
    real = saving._missing

    def missing(ranks, place):
        place.remove("0.json")
        return real(ranks, place)

    monkeypatch.setattr(saving, "_missing", missing)
    with pytest.raises(SaveFailed, match="is gone"):
        Checkpoints(url).save(9, *given(), {}).wait(60)


def test_a_disk_that_is_full_fails_the_save_and_not_the_training(url):
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=heard_of_small_files, args=(url, theirs))
    process.start()
    assert mine.poll(30)
    (kind, text), cause, left, latest = mine.recv()
    assert mine.poll(30)
    refused, committed = mine.recv()
    process.join()
    assert kind == "SaveFailed"
    assert "step 3 was not saved" in text and "free space there" in text
    assert cause == errno.EFBIG
    assert left == [], "what was written is freed"
    assert latest == 4
    assert (refused.step, type(refused)) == (3, events.CheckpointFailed)
    assert "step 3 was not saved" in refused.reason and refused.url.startswith(url)
    assert (committed.step, type(committed)) == (4, events.CheckpointCommitted)
    steps = {one.name.split("-")[2] for one in Path(url).iterdir()}
    assert steps == {"1", "2", "4"}, "the torn one went with the next that was whole"


def test_a_closed_training_gives_the_url_free_and_a_failed_one_leaves_no_claim(url):
    with pytest.raises(RuntimeError), Checkpoints(url) as checkpoints:
        checkpoints.save(3, work.plain()[0].state_dict()).wait()
        raise RuntimeError
    assert not Path(url, "writer.json").exists()


@pytest.mark.parametrize("name", ["with space", "größe/模型", "run[12]*?", "a#b%20c", "-dash"])
def test_names_are_taken_as_they_are(tmp_path, name):
    """`run[12]*?` as a pattern would be two folders beside it."""
    for other_name in ("run1x", "run2y"):
        saved(str(tmp_path / other_name), 1)
    url = str(tmp_path / name)
    for step in range(4):
        saved(url, step, keep=2)
    assert [one.manifest.step for one in module.listing(module.Place(url)).committed] == [2, 3]
    for other_name in ("run1x", "run2y"):
        Checkpoints(str(tmp_path / other_name)).load(given()[0])


def test_folders_that_people_copied_or_renamed_are_left_alone(url):
    shutil.copytree(folder_of(url, 1), Path(url, "best so far"))
    folder_of(url, 2).rename(Path(url, "paper"))
    for step in range(3, 6):
        saved(url, step, keep=1)
    names = {path.name for path in Path(url).iterdir()}
    assert {"best so far", "paper"} < names
    assert len(names) == 3
    Checkpoints(url).load(*given(), step=1)
    Checkpoints(str(Path(url, "paper"))).load(*given())


def test_links_lead_to_checkpoints_and_are_never_emptied(url, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(url)
    saved(str(link), 3)
    assert Checkpoints(url).latest().step == 3
    kept = tmp_path / "elsewhere" / folder_of(url, 1).name
    kept.parent.mkdir()
    folder_of(url, 1).rename(kept)
    Path(url, kept.name).symlink_to(kept)
    saved(url, 4, keep=1)
    assert (kept / "manifest.json").exists()


def test_the_latest_is_the_one_that_was_saved_last_whatever_step_and_clock_say(url, monkeypatch):
    class Past(datetime):
        @classmethod
        def now(cls, zone):
            return cls(2001, 1, 1, tzinfo=zone)

    monkeypatch.setattr(module, "datetime", Past)
    saved(url, 100)
    found = saved(url, 50)  # gone back, and trained again
    assert found.created.startswith("2001")
    assert Checkpoints(url).latest().step == 50


def test_one_that_torch_has_written_itself_is_named(tmp_path):
    net, _ = work.plain()
    with pytest.warns(UserWarning, match="torch.distributed is disabled"):
        dcp.save(net.state_dict(), checkpoint_id=str(tmp_path / "plain"))
    with pytest.raises(CheckpointMissing, match=r"load it with torch.distributed.checkpoint.load"):
        Checkpoints(str(tmp_path / "plain")).load(given()[0])


def test_plain_torch_reads_what_is_saved(url):
    model, _ = given()
    wanted, _ = given()
    Checkpoints(url).load(wanted)
    with pytest.warns(UserWarning, match="torch.distributed is disabled"):
        dcp.load(model, checkpoint_id=str(folder_of(url, 2) / "model"))
    assert work.digest(model) == work.digest(wanted)


class Counted(MemoryFileSystem):
    """Files in memory that count what is read of them."""

    protocol = "counted"
    store, pseudo_dirs, nbytes = {}, [""], 0

    def cat_file(self, path, start=None, end=None, **options):
        data = super().cat_file(path, start, end, **options)
        type(self).nbytes += len(data)
        return data


def test_weights_alone_read_no_byte_of_the_optimizer():
    fsspec.register_implementation("counted", Counted, clobber=True)
    try:
        torch.manual_seed(0)
        net = torch.nn.Linear(400, 100)
        optimizer = torch.optim.AdamW(net.parameters())
        net(torch.ones(2, 400)).sum().backward()
        optimizer.step()
        with Checkpoints("counted://run") as checkpoints:
            whole = checkpoints.save(1, net.state_dict(), optimizer.state_dict()).wait().nbytes
        Counted.nbytes = 0
        Checkpoints("counted://run").load(net.state_dict())
        assert 0.3 * whole < Counted.nbytes <= 0.4 * whole
    finally:
        _registry.pop("counted")
        Counted.store.clear()


@pytest.mark.parametrize(
    ("model", "extra", "told"),
    [
        ({"w": object()}, None, "w is of type object"),
        ({"w": {(1, 2): torch.ones(1)}}, None, "w has a key of type tuple"),
        ({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, None, "two tensors .* 'a.b'"),
        ({}, {"x": {1, 2}}, "extra is not JSON"),
        ({}, {"x": float("nan")}, "extra is not JSON"),
    ],
)
def test_states_that_can_t_be_read_back_are_refused_at_once(tmp_path, model, extra, told):
    with pytest.raises(errors.InputError, match=told):
        Checkpoints(str(tmp_path)).save(1, model, {}, extra)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        ("nosuch://x", {}, "not a URL that fsspec opens"),
        ("run", {"keep": 0}, "keep is 0"),
        ("run", {"limit_s": 0}, "limit_s is 0"),
    ],
)
def test_settings_that_can_not_be_are_refused(url, options, told):
    with pytest.raises(errors.ConfigError, match=told):
        Checkpoints(url, **options)


def test_a_place_that_connects_at_once_and_finds_nobody_is_told():
    with pytest.raises(errors.InputError, match="/x can't be opened") as refused:
        Checkpoints("ftp://127.0.0.1:1/x")
    assert "the connection" in refused.value.remedy


def test_a_password_in_a_url_is_told_by_nobody(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    url = f"dir://me:secret@host::{(tmp_path / 'run').as_uri()}"
    with pytest.raises(errors.DeepSeekError) as refused:
        Checkpoints("ftp://me:secret@127.0.0.1:1/x")
    assert "secret" not in f"{refused.value} {refused.value.remedy}"
    place = Checkpoints(url)
    assert "secret" not in place.url
    with pytest.raises(errors.DeepSeekError) as refused:
        ckpt(["inspect", url])
    assert "secret" not in f"{refused.value} {refused.value.remedy}{capsys.readouterr()}"


@pytest.mark.parametrize("step", [-1, 1.0, True, None])
def test_a_step_is_a_whole_number(tmp_path, step):
    with pytest.raises(errors.InputError, match="step must be a whole number"):
        Checkpoints(str(tmp_path)).save(step, {})


def differing(rank, ranks, url, what):
    """Rank 1 differs from the others in one thing."""
    if what == "memory":
        return group.told(lambda: Checkpoints("memory://x"))
    if what == "version" and rank == 1:
        module.versions = lambda: {"deepseek-parallel": "0.0.1"}
    model = {"w": torch.ones(3 + (what == "shape" and rank))}
    if what == "object" and rank == 1:
        model["w"] = object()
    step = 5 + (what == "step" and rank)
    return group.told(lambda: Checkpoints(url, limit_s=2).save(step, model).wait())


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("version", "CodeMismatch", "rank 1 has the versions {'deepseek-parallel': '0.0.1'}"),
        ("step", "StateMismatch", "rank 1 has step 6, and rank 0 has 5"),
        ("shape", "StateMismatch", "w is torch.float32 (4,) on rank 1, and torch.float32 (3,)"),
        ("object", "InputError", "w is of type object"),
        ("memory", "ConfigError", "in the memory of one process"),
    ],
)
def test_ranks_that_differ_are_told_on_all_of_them(tmp_path, what, kind, text):
    for told in group.run(differing, 2, str(tmp_path), what):
        assert told[0] == kind
        assert text in told[1]


def test_a_save_that_failed_is_raised_by_wait_and_not_by_the_next_save(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "run"), limit_s=5)
    checkpoints.save(1, {"w": torch.ones(3)}).wait()
    Path(tmp_path / "run" / "writer.json").unlink()
    failing = checkpoints.save(2, {"w": torch.ones(3)})
    with pytest.raises(AnotherWriter):
        failing.wait()
    assert failing.is_done and failing.error is not None
    assert checkpoints.latest().step == 1
    checkpoints.close()
