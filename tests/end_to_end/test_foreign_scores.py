"""A score of somebody else's package: a recipe names it, and the plugin's tools know it."""

import json

import pytest
from command import ds_sdk_here

pytest.importorskip("torch", reason="pruning needs torch")

HOOKS = """
from deepseek_core import CompressorSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_compressors)
def ds_register_compressors(ctx):
    return [
        CompressorSpec(name="acme_last", target="channels", factory="acme_scores.last:last",
                       summary="the later, the better"),
        CompressorSpec(name="l1", target="channels", factory="acme_scores.last:last"),
        CompressorSpec(name="acme_missing", target="channels", factory="acme_scores.last:last",
                       requires=("package_that_nobody_has",)),
    ]
"""
SCORE = """
import numpy as np
from deepseek_core import compression

def last():
    return compression.Score(measure=lambda view: np.arange(1.0, len(view.weight) + 1))
"""
NET = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(16 * 16, 3),
    )
"""
RECIPE = """
[model]
entry = "net.py:make"
input = [1, 1, 8, 8]

[[step]]
use = "prune"
score = "acme_last"
min_channels = 4
round_to = 4

[budget]
parameters = "/2"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe, and beside it a package as an installer leaves one."""
    made = tmp_path_factory.mktemp("scores")
    package = made / "site" / "acme_scores"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "hooks.py").write_text(HOOKS)
    (package / "last.py").write_text(SCORE)
    info = made / "site" / "acme_scores-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scores\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[deepseek_sdk.plugins.v1]\nacme_scores = acme_scores.hooks\n"
    )
    (made / "net.py").write_text(NET)
    return made


def ds(folder, *words):
    return ds_sdk_here(folder, *words, site=[folder / "site"])


@pytest.mark.parametrize(
    ("score", "theirs"),
    [("acme_last", True), ("acme-scores:l1", True), ("deepseek-compress:l1", False)],
)
def test_a_recipe_prunes_by_it(folder, score, theirs):
    (folder / "recipe.toml").write_text(RECIPE.replace("acme_last", score))
    done = ds(folder, "compress", "plan", "recipe.toml", "--json")
    assert done.returncode == 0, done.stderr
    gone = json.loads(done.stdout)["plans"][0]["choices"]["pruning"]["remove"]
    assert gone
    first = [channels == list(range(len(channels))) for channels in gone.values()]
    assert all(first) is theirs  # the first ones, by their score


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acme_lats", "there is no score 'acme_lats' -> did you mean 'acme_last'?"),
        ("l1", "score 'l1' is offered by deepseek-compress and by acme-scores -> say whose: "),
        ("l1", 'score = "deepseek-compress:l1" or score = "acme-scores:l1"'),
        ("acme:l1", "did you mean 'acme-scores:l1'?"),
        ("cis_maen", "did you mean 'cis_mean'?"),
        ("acme_missing", "needs package_that_nobody_has, not installed"),
        ("distill", "there is no score 'distill'"),
    ],
)
def test_a_name_that_is_none_is_told_before_any_work(folder, name, said):
    (folder / "wrong.toml").write_text(RECIPE.replace("acme_last", name))
    done = ds(folder, "compress", "run", "wrong.toml", "-o", "out")
    assert done.returncode == 2
    assert said in done.stderr.replace("\n  ", " ").replace("\nfix: ", " -> ")
    assert not (folder / "out").exists()


def test_the_plugins_tools_know_it(folder):
    listed = ds(folder, "list-plugins", "--kind", "compressor").stdout
    assert "acme_last" in listed
    checked = ds(folder, "check-plugin", "acme_scores", "--json")
    verdicts = json.loads(checked.stdout)
    told = json.dumps(verdicts)
    assert "test_each_channel_gets_one_finite_figure" in told
    assert "test_the_error_stays_within_its_bound" not in told


def test_it_is_no_step(folder):
    (folder / "wrong.toml").write_text(
        RECIPE.replace(
            '"prune"\nscore = "acme_last"\nmin_channels = 4\nround_to = 4', '"acme_last"'
        )
    )
    assert "acme_last is for channels" in ds(folder, "compress", "plan", "wrong.toml").stderr
