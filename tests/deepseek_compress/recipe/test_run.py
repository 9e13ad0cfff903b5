"""Recipes run, end whole, and go on after a kill to the same bytes."""

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import onnxruntime as ort
import pytest
import recipe_kit as kit
import torch

from deepseek_compress.errors import BudgetUnmet
from deepseek_compress.measure import latency
from deepseek_compress.measure.latency import Latency
from deepseek_compress.recipe import run as run_module
from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.plan import outlook
from deepseek_core import compression, errors, events
from deepseek_core.testing import listening

HERE = Path(__file__).parent
SCRIPT = """
import sys
from pathlib import Path
import recipe_kit as kit
from deepseek_compress.recipe.run import run
with kit.job_of(Path(sys.argv[1])) as job:
    run(job, Path(sys.argv[2]), resume=False, progress=kit.quiet)
"""


@pytest.fixture
def recipe(tmp_path):
    return kit.write_recipe(tmp_path)


def run(recipe, output, *, resume=False):
    with kit.job_of(recipe) as job:
        return run_module.run(job, output, resume=resume, progress=kit.quiet)


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.onnx")
    }


def test_a_run_leaves_whole_files_and_a_report(recipe, tmp_path):
    report = run(recipe, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "MANIFEST.json", "model.copy.onnx", "model.fp32.onnx", "noise.txt", "plan.json",
        "recipe.lock.toml", "report.html", "report.json",
    }  # fmt: skip
    assert compression.Manifest.read(tmp_path / "out").faults(tmp_path / "out") == ()
    assert [row.step for row in report.steps] == ["original", "nudge", "halve"]
    assert {row.name: row.outcome for row in report.verdict} == {
        "parameters": "holds", "accuracy_drop": "holds",
    }  # fmt: skip
    kept = json.loads((tmp_path / "out" / "report.json").read_text())
    assert compression.CompressionReport.from_json(kept).verdict == report.verdict


def test_the_float_file_computes_what_the_module_does(recipe, tmp_path):
    with kit.job_of(recipe, Job) as job:
        run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
        module = job.source.model
        for done in ("nudge", "halve"):
            assert done in (tmp_path / "out" / "plan.json").read_text()
    session = ort.InferenceSession(tmp_path / "out" / "model.fp32.onnx")
    x = kit.Rows().x[:5]
    (found,) = session.run(None, {"input": x})
    assert found.shape == (5, 2)
    with torch.no_grad():
        assert not np.allclose(found, module(torch.from_numpy(x)).numpy())  # it was changed


def test_a_target_is_made_of_another_ones_file_and_not_measured_in_another_form(recipe, tmp_path):
    kit.write_recipe(
        tmp_path, kit.RECIPE.replace("[budget]", '[[lower]]\nuse = "burn"\nof = "copy"\n\n[budget]')
    )
    report = run(recipe, tmp_path / "out")
    burned = (tmp_path / "out" / "model.burn.engine").read_bytes()
    assert burned == b"burned " + (tmp_path / "out" / "model.copy.onnx").read_bytes()
    manifest = compression.Manifest.read(tmp_path / "out")
    assert {"model.burn.engine", "model.burn.engine.json"} <= set(manifest.files)
    assert manifest.faults(tmp_path / "out") == ()
    assert report.variants[-1].accuracy is None
    assert report.not_measured[-1].startswith("accuracy and latency of model.burn.engine: ")
    assert 'of = "copy"' in (tmp_path / "out" / "recipe.lock.toml").read_text()
    with kit.job_of(recipe) as job:
        assert (
            outlook(job, kit.quiet).unplanned[-1] == "lower[1] burn: it works on the file of copy"
        )


def test_warnings_reach_the_report_and_do_not_change_what_ships(tmp_path, monkeypatch):
    def apply(_self, model, plan, _context):
        return compression.StepResult(
            model=model, profile=plan.after, figures={"int8_coverage": 1.0}, warnings=("far off",)
        )

    def given(files, budget, inputs, progress):
        took = {"fp32": 2.8e-3, "copy": 3.1e-3}
        return {
            name: Latency(device="onnx:cpu", evidence="", quantiles_s={0.5: took[name]}, runs=1)
            for name in files
        }

    monkeypatch.setattr(kit.Copy, "apply", apply)
    monkeypatch.setattr(latency, "measure_latency", given)
    budget = 'latency = { device = "cpu", p50_ms = 8.0 }'
    text = kit.RECIPE.replace("[budget]", f"[budget]\n{budget}")
    report = run(kit.write_recipe(tmp_path, text), tmp_path / "out")
    floats, int8 = report.variants
    slow = (
        "int8 is slower than float here: 3.1 ms against 2.8 ms; "
        "ship model.fp32.onnx, unless size counts more"
    )
    assert (int8.warnings, floats.warnings) == (("far off", slow), ())
    assert report.holds
    assert (floats.shipped, int8.shipped) == (False, True)
    kept = json.loads((tmp_path / "out" / "report.json").read_text())
    assert compression.CompressionReport.from_json(kept).variants == report.variants
    assert "against 2.8 ms" in (tmp_path / "out" / "report.html").read_text()


def test_a_student_is_what_steps_begin_with(tmp_path):
    text = kit.RECIPE.replace('"net.py:make"', '"net.py:make"\nstudent = "net.py:small"')
    recipe = kit.write_recipe(tmp_path, text.replace("/1.5", "/3"))
    report = run(recipe, tmp_path / "out")
    sizes = {row.step: row.profile.parameters for row in report.steps}
    assert sizes == {"original": 58, "student": 30, "nudge": 30, "halve": 16}
    rows = {row.name: row for row in report.verdict}
    assert (rows["parameters"].outcome, rows["parameters"].got) == ("holds", 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kit.Halve, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recipe, tmp_path / "again")
    run(recipe, tmp_path / "again", resume=True)
    assert digests(tmp_path / "again") == digests(tmp_path / "out")
    with kit.job_of(recipe) as job:
        told = {row.name: row for row in outlook(job, kit.quiet).verdict}
    assert told["parameters"].bound == rows["parameters"].bound


def test_a_student_that_is_no_module_is_refused(tmp_path):
    text = kit.RECIPE.replace('"net.py:make"', '"net.py:make"\nstudent = "net.py:other"')
    with pytest.raises(errors.InputError, match=r"model\.student net\.py:other gave a str"):
        kit.job_of(kit.write_recipe(tmp_path, text))


def test_equal_runs_give_equal_files(recipe, tmp_path):
    with listening() as heard:
        report = run(recipe, tmp_path / "one")
    assert [(e.step, e.number, e.steps) for e in heard.of(events.RecipeStepBegan)] == [
        ("nudge", 1, 3), ("halve", 2, 3), ("copy", 3, 3),
    ]  # fmt: skip
    ended = heard.of(events.RecipeStepEnded)
    assert [(e.step, e.metric, e.error) for e in ended] == [
        ("nudge", "accuracy", None), ("halve", "accuracy", None), ("copy", "accuracy", None),
    ]  # fmt: skip
    assert ended[1].quality == report.steps[2].accuracy.value
    run(recipe, tmp_path / "other")
    assert digests(tmp_path / "one") == digests(tmp_path / "other")


@pytest.mark.parametrize("step", ["nudge", "halve"])
def test_a_killed_run_goes_on_to_the_same_bytes(recipe, tmp_path, step):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    output = tmp_path / "out"

    killed = subprocess.run(
        [sys.executable, script, recipe, output],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "RECIPE_KIT_DIES": step},
        timeout=120, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (output / "MANIFEST.json").exists()
    run(recipe, output, resume=True)
    run(recipe, tmp_path / "whole")
    assert digests(output) == digests(tmp_path / "whole")


def test_a_run_that_did_not_end_is_told(recipe, tmp_path, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(kit.Halve, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError), listening() as heard:
            run(recipe, output)
    assert heard.of(events.RecipeStepEnded)[-1].error.startswith("ZeroDivisionError: ")
    with pytest.raises(errors.ConfigError, match="did not end"):
        run(recipe, output)
    assert run(recipe, output, resume=True).holds


def test_a_finished_run_is_not_overwritten(recipe, tmp_path):
    run(recipe, tmp_path / "out")
    before = digests(tmp_path / "out")
    for resume in (False, True):
        with pytest.raises(errors.ConfigError, match="finished run"):
            run(recipe, tmp_path / "out", resume=resume)
    assert digests(tmp_path / "out") == before


def test_a_folder_of_somebody_else_is_refused(recipe, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(errors.ConfigError, match="not empty"):
        run(recipe, tmp_path / "out")


def test_another_recipe_does_not_go_on_in_the_folder(recipe, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(kit.Halve, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recipe, tmp_path / "out")
    kit.write_recipe(tmp_path, kit.RECIPE.replace("by = 0.5", "by = 0.25"))
    with pytest.raises(errors.ConfigError, match="another recipe"):
        run(recipe, tmp_path / "out", resume=True)


def test_a_damaged_step_is_not_gone_on_from(recipe, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(kit.Halve, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recipe, tmp_path / "out")
    weights = tmp_path / "out" / ".run" / "00-nudge" / "model.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(errors.ArtifactError, match="was changed"):
        run(recipe, tmp_path / "out", resume=True)


def test_the_users_model_stays_as_it_was(recipe, tmp_path):
    with kit.job_of(recipe) as job:
        before = {name: value.clone() for name, value in job.source.model.state_dict().items()}
        run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
        for name, value in job.source.model.state_dict().items():
            assert torch.equal(value, before[name])


def test_a_plan_trains_nothing_and_writes_nothing(recipe, tmp_path):
    there = set(tmp_path.iterdir())
    with kit.job_of(recipe) as job:
        found = outlook(job, kit.quiet)
    assert [plan.step for plan in found.plans] == ["nudge", "halve"]
    assert found.unplanned == ("lower[0] copy: it works on the exported file",)
    assert found.verdict[0].outcome == "holds"
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == there


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('use = "halve"', 'use = "halv"', "no plugin offers"),
        ('use = "nudge"\nby = 0.5', 'use = "halve"', "needs noise"),
        ('use = "copy"', 'use = "halve"', "takes torch models"),
        ('entry = "net.py:make"', 'entry = "net.py:mak"', "did you mean 'make'"),
        ('entry = "net.py:make"', 'entry = "nte.py:make"', "no such file"),
        ('entry = "net.py:make"', 'entry = "net"', 'write it as "package.module:function"'),
        ("input = [1, 4]", "", "shapes of the model's inputs"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_any_work(recipe, tmp_path, old, new, told):
    kit.write_recipe(tmp_path, kit.RECIPE.replace(old, new))
    with pytest.raises(errors.DeepSeekError) as refused:
        run(recipe, tmp_path / "out")
    assert told in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("written", ["model.bin", "model.fp32.onnx"])
def test_a_full_disk_is_told_and_the_run_goes_on_later(recipe, tmp_path, monkeypatch, written):
    write = Path.write_bytes

    def full(path, content):
        if path.name == written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(errors.WriteError, match="No space left") as refused:
            run(recipe, tmp_path / "out")
    assert "--resume" in refused.value.remedy
    assert run(recipe, tmp_path / "out", resume=True).holds


def interrupted(recipe, output, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(kit.Halve, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recipe, output)


@pytest.mark.parametrize(
    ("edit", "changed"),
    [(("manual_seed(0)", "manual_seed(1)"), "weights"), (("(4, 8)", "(4, 8, bias=True)"), None)],
)
def test_another_model_does_not_go_on_in_the_folder(recipe, tmp_path, monkeypatch, edit, changed):
    interrupted(recipe, tmp_path / "out", monkeypatch)
    edited = tmp_path / "edited"
    edited.mkdir()
    path = kit.write_recipe(edited)
    (edited / "net.py").write_text(kit.MODEL.replace(*edit))
    if changed is None:
        assert run(path, tmp_path / "out", resume=True).holds  # written otherwise, and the same
        return
    with pytest.raises(errors.ConfigError, match=changed) as refused:
        run(path, tmp_path / "out", resume=True)
    assert "torch.manual_seed(0)" in refused.value.remedy


CODE = """
import torch

class Net(torch.nn.Sequential):
    def forward(self, input):
        return super().forward(input)

def make():
    torch.manual_seed(0)
    return Net(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
"""


def test_code_that_was_changed_does_not_go_on(recipe, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(CODE)
    interrupted(recipe, tmp_path / "out", monkeypatch)
    other = tmp_path / "other"
    other.mkdir()
    path = kit.write_recipe(other)
    (other / "net.py").write_text(CODE.replace("forward(input)\n\n", "forward(input * 2)\n\n"))
    with pytest.raises(errors.ConfigError, match="code changed"):
        run(path, tmp_path / "out", resume=True)


def test_one_process_at_a_time_works_in_a_folder(recipe, tmp_path, monkeypatch):
    output = tmp_path / "out"
    interrupted(recipe, output, monkeypatch)
    seen = []

    def meet(*_):
        with pytest.raises(errors.ConfigError, match="another process is running") as refused:
            run(recipe, output, resume=True)
        seen.append(refused.value.remedy)
        return 1 / 0

    with monkeypatch.context() as patch:
        patch.setattr(kit.Halve, "apply", meet)
        with pytest.raises(ZeroDivisionError):
            run(recipe, output, resume=True)
    assert seen == ["wait for it, or choose another folder with -o"]
    assert run(recipe, output, resume=True).holds


def test_test_samples_that_training_saw_are_told(recipe, tmp_path):
    told = "accuracy on unseen samples: training has seen 32 of 32 test samples"
    assert told in run(recipe, tmp_path / "out").not_measured
    with kit.job_of(recipe) as job:
        job.data = attrs.evolve(job.data, train=None)
        found = run_module.run(job, tmp_path / "apart", resume=False, progress=kit.quiet)
    assert told not in found.not_measured


def test_test_samples_that_a_search_knows_are_told(recipe, tmp_path):
    told = "accuracy on unseen samples: data.reference holds 32 of 32 test samples"
    with kit.job_of(recipe) as job:
        job.data = attrs.evolve(job.data, train=None, reference=job.data.test)
        found = run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
    assert told in found.not_measured


def test_a_run_that_is_asked_to_go_on_and_never_began_is_planned_first(tmp_path, monkeypatch):
    recipe = kit.write_recipe(tmp_path, kit.RECIPE.replace('"/1.5"', '"/9"'))
    monkeypatch.setattr(kit.Nudge, "apply", None)  # nothing is trained
    with kit.job_of(recipe) as job, pytest.raises(BudgetUnmet):
        run_module.run(job, tmp_path / "out", resume=True, progress=kit.quiet)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_made_is_told_before_any_work(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "outlook", None)
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below" / "out"):
        with pytest.raises(errors.WriteError, match="file is not a folder") as caught:
            run(recipe, output)
        assert "-o" in caught.value.remedy


def test_what_a_file_can_not_hold_is_told_before_any_work(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(kit.Nudge, "plan", None)
    with kit.job_of(recipe) as job:
        forward = type(job.source.model).forward
        kind = type("Warm", (type(job.source.model),), {})
        kind.forward = lambda self, *x: {"logits": forward(self, *x), "temperature": 1.0}
        job.source.model.__class__ = kind
        with pytest.raises(
            errors.InputError, match="'temperature' of what the model gives"
        ) as told:
            run_module.run(job, tmp_path / "out", resume=False, progress=kit.quiet)
    assert told.value.remedy


def test_the_lock_has_the_versions_that_steps_name(recipe, tmp_path, monkeypatch):
    """As that of TensorRT, of which an engine is: a run does not go on with another one."""
    versions = {"burner": "1.0"}
    monkeypatch.setattr(kit.Copy, "versions", lambda self: dict(versions))
    with monkeypatch.context() as patch:
        patch.setattr(kit.Copy, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recipe, tmp_path / "out")
    versions["burner"] = "2.0"
    with pytest.raises(errors.ConfigError, match=r"locked\.versions\.burner changed"):
        run(recipe, tmp_path / "out", resume=True)
    versions["burner"] = "1.0"
    report = run(recipe, tmp_path / "out", resume=True)
    assert report.versions["burner"] == "1.0"
    assert 'burner = "1.0"' in (tmp_path / "out" / "recipe.lock.toml").read_text()


def test_a_file_that_a_step_does_not_find_is_no_full_disk(recipe, tmp_path, monkeypatch):
    lost = tmp_path / "pictures" / "7.png"
    monkeypatch.setattr(kit.Halve, "apply", lambda *_: lost.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"7\.png"):
        run(recipe, tmp_path / "out")


def test_every_random_number_of_a_step_comes_from_the_recipes_seed(recipe):
    with kit.job_of(recipe) as job:
        drawn = []
        for _ in range(2):
            job.seed(1)
            drawn.append((random.random(), np.random.random(), torch.rand(1).item()))
        job.seed(2)
        drawn.append((random.random(), np.random.random(), torch.rand(1).item()))
    assert drawn[0] == drawn[1]
    assert not set(drawn[1]) & set(drawn[2])
