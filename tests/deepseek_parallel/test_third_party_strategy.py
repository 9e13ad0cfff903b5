"""An installed strategy of somebody else: its own options, in recipes and on the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOKS = """
from deepseek_core import StrategySpec, hookimpl, hooks

@hookimpl(hooks.ds_register_parallel_strategies)
def strategies(ctx):
    return [StrategySpec(name="acme", axes=("dp",), factory="acme.strategy:Acme")]
"""
# It trains as replicas do, and tells what it was given.
STRATEGY = """
import json
from pathlib import Path

from deepseek_core import errors
from deepseek_parallel.strategies.strategy import Replicas


class Acme(Replicas):
    name = "acme"

    def __init__(self, *, depth: int, ratio: float = 0.5, deep: bool = False, parts=(), micro=None):
        super().__init__(micro=micro)
        if type(depth) is not int:
            raise errors.ConfigError(f"depth must be a whole number, got {depth!r}")
        self.given = [depth, ratio, deep, parts]

    def apply(self, plan, model):
        Path("given.json").write_text(json.dumps(self.given))
        return super().apply(plan, model)
"""


@pytest.fixture
def command(recipe_folder):
    """`ds-sdk train run` beside the installed plugin; its code, its answer and what it said."""
    site = recipe_folder / "site"
    info = site / "acme-1.0.dist-info"
    for folder in (site / "acme", info):
        folder.mkdir(parents=True)
    (site / "acme" / "__init__.py").write_text("")
    (site / "acme" / "hooks.py").write_text(HOOKS)
    (site / "acme" / "strategy.py").write_text(STRATEGY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepseek_sdk.plugins.v1]\nacme = acme.hooks\n")
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    words = [sys.executable, "-m", "deepseek_core", "train", "run", "recipe.toml", "--json"]

    def run(*more):
        done = subprocess.run(
            [*words, *more], capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def test_its_options_come_from_the_command_and_the_recipe(command):
    code, out, err = command(
        "--nproc", "2", "--strategy", "acme:depth=3,ratio=0.25,deep=true,parts=[1,2]"
    )
    assert code == 0, err
    assert json.loads(Path("given.json").read_text()) == [3, 0.25, True, [1, 2]]
    assert json.loads(out)["ranks"] == 2
    recipe = Path("recipe.toml")
    recipe.write_text(recipe.read_text() + '\n[strategy]\nname = "acme"\ndepth = "three"\n')
    code, out, err = command()
    assert code == 2
    assert "depth must be a whole number, got 'three'" in out + err


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (
            "acme:depth=3,ratoi=0.25",
            "no option 'ratoi' fix: did you mean ratio? its options: depth,",
        ),
        (
            "acme:depth=3,tp=2",
            "strategy 'acme' has no option 'tp' fix: its options: depth, ratio, ",
        ),
        (
            "acme:ratio=0.5",
            "strategy 'acme' needs the option 'depth' fix: its options: depth, ratio",
        ),
        ("acme:depth=3.5", "depth must be a whole number, got 3.5"),
    ],
)
def test_a_wrong_option_is_told_with_the_right_ones(command, strategy, text):
    code, out, err = command("--strategy", strategy)
    assert code == 2
    assert text in " ".join((out + err).split())
