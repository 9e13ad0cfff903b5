"""`ds-sdk ckpt` as a person and a script see it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import checkpoint_ranks as work
import pytest
import rank_processes as group
import torch
import torch.distributed.checkpoint as dcp

from deepseek_core import errors
from deepseek_core.cli.main import main as ds_sdk
from deepseek_parallel import (
    AnotherWriter,
    CheckpointDamaged,
    CheckpointMissing,
    Checkpoints,
    resharded,
)
from deepseek_parallel.checkpoint import claim
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.ckpt_cli.main import COMMANDS, main


@pytest.fixture
def url(tmp_path):
    """Checkpoints of steps 1, 2 and 3."""
    net, optimizer = work.plain()
    with Checkpoints(str(tmp_path / "run")) as checkpoints:
        for step in (1, 2, 3):
            work.stepped(net, optimizer, 1)
            states = net.state_dict(), optimizer.state_dict()
            checkpoints.save(step, *states, {"position": 8 * step}).wait()
    return str(tmp_path / "run")


def told(capsys, *words):
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def folder_of(url, step):
    (found,) = Path(url).glob(f"*-step-{step}-*")
    return found


def steps_of(url):
    return sorted(int(path.name.split("-")[2]) for path in Path(url).iterdir())


def test_inspect_lists_all_and_shows_one(url, capsys):
    code, found = told(capsys, "inspect", url)
    assert code == 0
    assert [one["step"] for one in found["checkpoints"]] == [1, 2, 3]
    code, found = told(capsys, "inspect", url, "--step", "2", "--tensors")
    assert (code, found["extra"], found["ranks"]) == (0, {"position": 16}, 1)
    assert found["tensors"]["model"]["0.weight"] == {"dtype": "float32", "shape": [31, 13]}
    assert found["tensors"]["optimizer"]["state.0.exp_avg"]["shape"] == [31, 13]
    assert sum(file["nbytes"] for file in found["files"]) == found["nbytes"]
    assert main(["inspect", url]) == 0
    assert "STEP" in capsys.readouterr().out
    assert main(["inspect", url, "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "step 3, saved" in printed and 'extra: {"position": 24}' in printed
    assert main(["inspect", str(folder_of(url, 2)), "--step", "2"]) == 0, "of the folder itself"


def test_inspect_shows_what_torch_has_written_itself(tmp_path, capsys):
    state = {"model": {"w": torch.ones(3, 4)}, "step": 7}
    with pytest.warns(UserWarning, match=r"torch.distributed is disabled"):
        dcp.save(state, checkpoint_id=str(tmp_path / "step-7"))
    code, found = told(capsys, "inspect", str(tmp_path))
    assert (code, found["without_manifest"], found["checkpoints"]) == (0, ["step-7"], [])
    code, found = told(capsys, "inspect", str(tmp_path / "step-7"), "--tensors")
    assert found["tensors"] == {"model.w": {"dtype": "float32", "shape": [3, 4]}}
    assert found["manifest"] is False
    with pytest.raises(CheckpointMissing, match="without a manifest"):
        main(["verify", str(tmp_path)])


def test_verify_tells_missing_changed_and_extra_files(url, capsys):
    assert told(capsys, "verify", url)[0] == 0
    (folder_of(url, 1) / "model" / "__0_0.distcp").unlink()
    changed = folder_of(url, 2) / "optimizer" / "index.pt"
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    (folder_of(url, 3) / "notes.txt").write_text("mine")
    (Path(url) / "000009-step-9-00000000").mkdir()
    code, found = told(capsys, "verify", url)
    assert (code, found["whole"]) == (1, False)
    first, second, third = found["checkpoints"]
    assert (first["missing"], second["changed"]) == (
        ["model/__0_0.distcp"],
        ["optimizer/index.pt"],
    )
    assert third["whole"] and third["extra"] == ["notes.txt"]
    assert found["torn"] == ["000009-step-9-00000000"]
    assert main(["verify", url]) == 1
    printed = capsys.readouterr().out
    assert f"missing: {folder_of(url, 1).name}/model/__0_0.distcp" in printed
    assert "a save that did not come to its end" in printed
    assert told(capsys, "verify", url, "--step", "3")[0] == 0
    (folder_of(url, 3) / "manifest.json").write_bytes(b"{}")
    code, found = told(capsys, "verify", url)
    assert "its hash is another one" in found["damaged_manifests"][0]["error"]


def test_prune_keeps_the_newest_that_are_whole(url, capsys):
    damaged = folder_of(url, 3) / "model" / "__0_0.distcp"
    damaged.write_bytes(b"other")
    Path(url, "000001-step-0-00000000", "model").mkdir(parents=True)
    code, found = told(capsys, "prune", url, "--keep", "1", "--dry-run")
    assert (code, steps_of(url)) == (0, [0, 1, 2, 3])
    names = {step: folder_of(url, step).name for step in (1, 2, 3)}
    assert (found["kept"], found["removed"]) == ([names[2]], [names[1]])
    assert (found["damaged"], found["dry_run"]) == ([names[3]], True)
    assert told(capsys, "prune", url, "--keep", "1")[1]["freed_nbytes"] == found["freed_nbytes"]
    assert steps_of(url) == [2, 3]
    (folder_of(url, 2) / "model" / "__0_0.distcp").write_bytes(b"other")
    assert told(capsys, "prune", url, "--keep", "1")[0] == 1, "nothing is whole, nothing goes"
    assert steps_of(url) == [2, 3]
    with pytest.raises(errors.ConfigError, match="--keep is 0"):
        main(["prune", url, "--keep", "0"])


def test_prune_leaves_a_url_alone_that_a_training_saves_to(url):
    code = "import sys, time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        living = claim.this_process() | {"pid": process.pid, "start": claim._start(process.pid)}
        claim.take(Place(url), "another", [living])
        with pytest.raises(AnotherWriter, match=f"process {process.pid} on "):
            main(["prune", url, "--keep", "1"])
        process.kill()
    assert main(["prune", url, "--keep", "1"]) == 0
    assert steps_of(url) == [3]


def test_reshard_changes_only_what_differs_by_rank(tmp_path, capsys):
    url, target = str(tmp_path / "three"), str(tmp_path / "four")
    saved = [torch.load(io.BytesIO(data)) for data in group.run(work.compressed, 3, url)]
    code, found = told(capsys, "reshard", url, "--ranks", "4", "--to", target)
    assert (code, found["ranks"], found["differs_by_rank"], found["step"]) == (0, 4, True, 6)
    model = {path.name: path.read_bytes() for path in (folder_of(url, 6) / "model").iterdir()}
    for path in (folder_of(target, 6) / "model").iterdir():
        assert path.read_bytes() == model[path.name]
    assert told(capsys, "verify", target)[0] == 0
    wanted = resharded([state for _, state in saved], 4)
    for rank, data in enumerate(group.run(work.compressed_loaded, 4, target)):
        weights, state = torch.load(io.BytesIO(data))
        assert work.digest(state) == work.digest(wanted[rank])
        assert work.digest(weights) == work.digest(saved[0][0])


def test_reshard_of_what_differs_nowhere_is_a_copy(url, tmp_path, capsys):
    assert main(["reshard", url, "--ranks", "8", "--to", str(tmp_path / "copy")]) == 0
    assert "it loads on any number" in capsys.readouterr().out
    loaded = work.plain(seed=5)[0].state_dict()
    Checkpoints(str(tmp_path / "copy")).load(loaded)
    (folder_of(url, 3) / "model" / "__0_0.distcp").write_bytes(b"other")
    with pytest.raises(CheckpointDamaged):
        main(["reshard", url, "--ranks", "8", "--to", str(tmp_path / "other")])
    assert Checkpoints(str(tmp_path / "other")).latest() is None


def test_export_writes_what_other_tools_load(url, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors isn't installed")
    path = tmp_path / "model.safetensors"
    code, found = told(capsys, "export", url, str(path), "--step", "2")
    assert (code, found["tensors"], found["left_out"]) == (0, 9, [])
    model = work.plain(seed=5)[0].state_dict()
    Checkpoints(url).load(model, step=2)
    loaded = safetensors.load_file(path)
    assert loaded.keys() == model.keys()
    assert all(torch.equal(loaded[name], model[name]) for name in model)


def test_export_without_the_library_says_what_to_install(url, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        for name in ("safetensors", "safetensors.torch"):
            patch.setitem(sys.modules, name, None)
        assert ds_sdk(["ckpt", "export", url, str(tmp_path / "m")]) == 2
    assert "[safetensors]" in capsys.readouterr().err
    with pytest.raises(errors.ConfigError, match="does not exist"):
        main(["export", url, str(tmp_path / "nowhere" / "m")])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_says_where_nothing_is(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    printed = capsys.readouterr().out
    assert f"ds-sdk ckpt {command} " in printed and "exit codes: 0" in printed
    more = {
        "prune": ["--keep", "1"],
        "reshard": ["--ranks", "1", "--to", str(tmp_path / "to")],
        "export": [str(tmp_path / "file")],
    }
    with pytest.raises(CheckpointMissing, match="has no checkpoint"):
        main([command, str(tmp_path / "nothing"), *more.get(command, [])])
    assert not list(tmp_path.iterdir())


def test_lists_and_checks_need_no_torch(url):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from deepseek_parallel.ckpt_cli.main import main\n"
        f"for words in (['inspect'], ['verify'], ['prune', '--keep', '1']):\n"
        f"    assert main([*words, {url!r}]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True, capture_output=True)
    assert steps_of(url) == [3]
