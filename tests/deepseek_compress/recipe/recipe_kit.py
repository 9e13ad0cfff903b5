"""A small module, samples, and steps of its own for recipes that need no other part."""

import os
import signal
from pathlib import Path

import attrs
import numpy as np
import onnx
import torch

from deepseek_compress.recipe.data import Data
from deepseek_compress.recipe.job import Job
from deepseek_compress.train.evaluate import Evaluation
from deepseek_core import Artifact, CompressorSpec, OpenedCompressor, compression, errors

MODEL = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
"""
STUDENT = """

def small():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))

def other():
    return "no module"
"""
RECIPE = """
[model]
entry = "net.py:make"
input = [1, 4]

[[step]]
use = "nudge"
by = 0.5

[[step]]
use = "halve"

[[lower]]
use = "copy"

[budget]
parameters = "/1.5"
accuracy_drop = 100

[run]
seed = 1
"""


class Rows:
    def __init__(self, count=32):
        draw = np.random.default_rng(0)
        self.x = draw.standard_normal((count, 4)).astype(np.float32)
        self.y = (self.x.sum(axis=1) > 0).astype(np.int64)

    def __len__(self):
        return len(self.x)

    def batches(self, size, *, seed=None):
        order = np.arange(len(self.x))
        if seed is not None:
            np.random.default_rng(seed).shuffle(order)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield compression.Batch(inputs={"input": self.x[chosen]}, labels=self.y[chosen])


def evaluate(model, form):
    """Accuracy of a module; of a file nothing that needs a runtime: its first byte."""
    value = 0.5
    if form == "torch":
        with torch.no_grad():
            rows = Rows()
            found = model(torch.from_numpy(rows.x)).argmax(1).numpy()
            value = float((found == rows.y).mean())
    score = compression.Interval(value=value, low=0.0, high=1.0, count=32)
    return Evaluation(metric="accuracy", score=score, count=32)


def profile(model):
    return compression.ModelProfile(parameters=sum(p.numel() for p in model.parameters()))


@attrs.frozen(kw_only=True)
class NudgeOptions:
    by: float = 1.0
    die: bool = False


class Nudge(compression.ModelCompressor):
    """Adds noise to the weights; kills the process in mid-step where it is told to."""

    def __init__(self, by, die=False):
        self.by, self.die = by, die

    def plan(self, model, context):
        if not isinstance(model, torch.nn.Module):
            raise errors.InputError("takes a module")
        return compression.StepPlan(
            step="nudge", before=profile(model), after=profile(model), choices={"by": self.by}
        )

    def apply(self, model, plan, context):
        made = copy_of(model)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=self.by)
        if os.environ.get("RECIPE_KIT_DIES") == "nudge":
            os.kill(os.getpid(), signal.SIGKILL)
        note = context.workspace / "noise.txt"
        note.write_text(str(self.by))
        return compression.StepResult(
            model=made, profile=profile(made), provided={"noise": note}, figures={"by": self.by}
        )


class Halve(compression.ModelCompressor):
    """Keeps half of the hidden units."""

    def plan(self, model, context):
        keep = list(range(0, model[0].out_features, 2))
        plan = compression.StepPlan(
            step="halve", before=profile(model), after=profile(model), choices={"keep": keep}
        )
        return attrs.evolve(plan, after=profile(self.reshape(model, plan)))

    def reshape(self, model, plan):
        keep = plan.choices["keep"]
        first, relu, last = copy_of(model)
        small = torch.nn.Sequential(
            torch.nn.Linear(4, len(keep)), relu, torch.nn.Linear(len(keep), 2)
        )
        with torch.no_grad():
            small[0].weight.copy_(first.weight[keep])
            small[0].bias.copy_(first.bias[keep])
            small[2].weight.copy_(last.weight[:, keep])
            small[2].bias.copy_(last.bias)
        return small

    def apply(self, model, plan, context):
        if os.environ.get("RECIPE_KIT_DIES") == "halve":
            os.kill(os.getpid(), signal.SIGKILL)
        made = self.reshape(model, plan)
        return compression.StepResult(model=made, profile=profile(made))


class Copy(compression.ModelCompressor):
    """Gives the file as it is."""

    def plan(self, model, context):
        whole = compression.ModelProfile(parameters=0, nbytes=len(model.read()))
        return compression.StepPlan(step="copy", before=whole, after=whole)

    def apply(self, model, plan, context):
        return compression.StepResult(model=model, profile=plan.after)


class Burn(compression.ModelCompressor):
    """Gives a file of another form, and one that lies beside it."""

    def plan(self, model, context):
        whole = compression.ModelProfile(parameters=0, nbytes=len(model.read()))
        return compression.StepPlan(step="burn", before=whole, after=whole)

    def apply(self, model, plan, context):
        beside = context.workspace / "engine.json"
        beside.write_text("{}")
        return compression.StepResult(
            model=Artifact.from_bytes(b"burned " + model.read(), format="engine"),
            profile=plan.after,
            provided={"described": beside},
        )


def copy_of(model):
    import copy

    return copy.deepcopy(model)


STEPS = {
    "nudge": (Nudge, {"takes": "torch", "provides": ("noise",)}, {"by": 1.0}),
    "halve": (Halve, {"takes": "torch", "needs": ("noise",)}, {}),
    "copy": (Copy, {"takes": "onnx"}, {}),
    "burn": (Burn, {"takes": "onnx", "gives": "engine", "provides": ("described",)}, {}),
}


def open_step(name, options=None, **_more):
    """As `open_compressor` does, for the steps of this file."""
    if name not in STEPS:
        raise errors.ConfigError(f"no plugin offers a compressor {name!r}")
    kind, fields, defaults = STEPS[name]
    spec = CompressorSpec(name=name, target="model", factory="recipe_kit:none", **fields)
    resolved = {**defaults, **(options or {})}
    return OpenedCompressor(spec=spec, compressor=kind(**resolved), options=resolved, version="1.0")


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    (folder / "net.py").write_text(MODEL + STUDENT)
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


class QuickJob(Job):
    """A job whose export writes the weights and no graph: torch's own takes seconds."""

    def export(self, model, path):
        tensors = [
            onnx.numpy_helper.from_array(value.numpy(), name)
            for name, value in model.state_dict().items()
        ]
        graph = onnx.helper.make_graph([], "weights", [], [], tensors)
        path.write_bytes(onnx.helper.make_model(graph).SerializeToString(deterministic=True))


def job_of(path: Path, kind: type[Job] = QuickJob) -> Job:
    """The job of a recipe, with the samples of this file."""
    job = kind.read(path, open_step)
    rows = Rows()
    data = Data(train=rows, test=rows, calibration=rows, evaluate=evaluate)
    return attrs.evolve(job, data=data)


def quiet(_done, _of, _text):
    pass
