"""A latency budget is planned for the file that ships: int8 layers where the int8 file does."""

import numpy as np
import pytest
from recipe_kit import quiet

from deepseek_compress.recipe import run as run_module
from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.plan import outlook

NET = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 4),
    )
"""
RECIPE = """
[model]
entry = "net.py:make"
input = [1, 3, 12, 12]

[data]
calibration = "samples.npz"

[[step]]
use = "prune"
score = "l1"
allocate = "latency"

[[lower]]
use = "ort_x86"

[budget]
latency = { device = "cpu", p50_ms = 1000000 }
"""


@pytest.fixture
def folder(tmp_path, own_cache):
    (tmp_path / "net.py").write_text(NET)
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "samples.npz", x=draw.standard_normal((64, 3, 12, 12)).astype(np.float32))
    return tmp_path


@pytest.mark.parametrize(
    ("old", "in_integers"), [("", True), ('[[lower]]\nuse = "ort_x86"\n', False)]
)
def test_the_report_has_what_was_predicted_for_the_file_that_ships(folder, old, in_integers):
    (folder / "recipe.toml").write_text(RECIPE.replace(old, ""))
    with Job.read(folder / "recipe.toml") as job:
        report = run_module.run(job, folder / "out", resume=False, progress=quiet)
        assert job._latency_model.table.in_integers is in_integers
    for variant in report.variants:
        assert variant.latency_s > 0
        assert (variant.predicted_s is not None) is variant.shipped
    assert report.variants[-1].shipped
    page = (folder / "out" / "report.html").read_text()
    assert "predicted" in page


@pytest.mark.parametrize(("target", "told"), [("ort_x86", False), ("trt", True), ("", False)])
def test_a_plan_says_where_its_latency_is_of_other_layers_than_the_files(folder, target, told):
    lower = f'[[lower]]\nuse = "{target}"\n' if target else ""
    text = RECIPE.replace('[[lower]]\nuse = "ort_x86"\n', lower)
    (folder / "recipe.toml").write_text(text + 'nbytes = "/2"\n')
    with Job.read(folder / "recipe.toml") as job:
        notes = outlook(job, quiet).notes
    words = "latency is predicted of float layers: those of trt in int8 are not measured alone"
    assert (words in notes) is told
    assert notes[0] == "judged when the run has ended, on the file of the first target: nbytes"
