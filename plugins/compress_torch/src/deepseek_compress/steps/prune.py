"""Step `prune`: removes channels, the least important ones, until the budget is met."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import attrs

from deepseek_compress.modules import arguments_of, check_module
from deepseek_compress.steps.example import example_of
from deepseek_core import compression, errors

NAME = "prune"


@attrs.frozen(kw_only=True)
class PruneOptions:
    """How channels are chosen.

    `score` says what a channel is worth, one of ours or of a plugin ("distribution:name" where
    two plugins have the name); `allocate` takes the same
    share of every layer (uniform), the lowest scores wherever they are (global), or what saves
    most time on the device of the budget (latency). Counts are multiples of `round_to`, and
    `min_channels` or more. `protect` names layers that stay, with `*` for any part; `exact` keeps
    what could not be removed without changing what a normalization computes. `batches` of
    `batch_size` training samples are looked at by scores that need data. `parameters` and `macs`
    are limits of this step ("/3.7"), where the budget's are not meant.
    """

    score: str = "cis_mean"
    allocate: Literal["uniform", "global", "latency"] = "uniform"
    round_to: int = 8
    min_channels: int = 8
    least_share: float = 0.0
    protect: tuple[str, ...] = ()
    exact: bool = False
    batches: int = 4
    batch_size: int = 64
    parameters: str | None = None
    macs: str | None = None


class Prune(compression.ModelCompressor):
    """Plans on a trace of the model, certifies the plan, and applies it to a copy."""

    def __init__(self, **options: Any) -> None:
        from deepseek_compress.prune.scores import find_score

        self._options = PruneOptions(**options)
        self._score = find_score(self._options.score)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """The channels that go, and what that leaves.

        Raises:
            CannotPrune: a model that can't be followed; names the operation.
            BudgetUnmet: no plan meets the budget; the closest figures are told.
        """
        from deepseek_compress.prune.plan_budget import plan_budget
        from deepseek_compress.prune.sizes import Sizes

        pruner = self._pruner(check_module(model), context)
        example = pruner.example
        samples = len(next(iter((*example.args, *example.kwargs.values()))))  # as it was traced
        whole = Sizes(pruner.structure).after(set())
        before = compression.ModelProfile(parameters=whole[0], macs=whole[1] // samples)
        found = plan_budget(
            pruner,
            self._scores(pruner, context),
            self._budget(before, _original(pruner, before, context), context),
            allocate=self._options.allocate,
            latency=_milliseconds(context) if self._by_latency else None,
        )
        pruned = pruner.apply(found)  # certified now: what can't be done is told before training
        choices = {
            "pruning": json.loads(found.to_json()),
            "example": [
                *(_described(tensor) for tensor in example.args),
                *(_described(tensor) | {"name": n} for n, tensor in example.kwargs.items()),
            ],
            "layers": _layers(pruner, pruned.model),
            "latency_s": None if found.latency_ms is None else found.latency_ms / 1e3,
        }
        return compression.StepPlan(
            step=NAME,
            before=before,
            after=compression.ModelProfile(parameters=found.params, macs=found.macs // samples),
            choices=choices,
            notes=found.notes,
        )

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Prune a copy, and hold it against the model with these channels zeroed.

        Raises:
            CannotPrune: the plan is of another model, or the copy would compute something else.
        """
        context.progress(0, 2, "tracing")
        pruner = self._pruner(check_module(model), context)
        context.progress(1, 2, "pruning and comparing")
        pruned = pruner.apply(_kept(plan))
        return compression.StepResult(
            model=pruned.model,
            profile=plan.after,
            figures={"masked_difference": pruned.equivalence.difference},
            notes=pruned.equivalence.inexact,
        )

    def reshape(self, model: Any, plan: compression.StepPlan) -> Any:
        """A copy without the channels that the plan removes."""
        import torch

        args, kwargs = [], {}
        for told in plan.choices["example"]:
            zeros = torch.zeros(told["shape"], dtype=getattr(torch, told["dtype"]))
            if "name" in told:
                kwargs[told["name"]] = zeros
            else:
                args.append(zeros)
        example = _example(tuple(args), kwargs)
        return self._of(check_module(model), example).apply(_kept(plan)).model

    @property
    def _by_latency(self) -> bool:
        return self._options.allocate == "latency"

    def _pruner(self, model: Any, context: compression.StepContext) -> Any:
        return self._of(model, _example(*arguments_of(model, example_of(model, context))))

    def _of(self, model: Any, example: Any) -> Any:
        from deepseek_compress.prune.pruner import Pruner

        return Pruner(model, example, protect=self._options.protect, exact=self._options.exact)

    def _scores(self, pruner: Any, context: compression.StepContext) -> Any:
        from deepseek_compress.prune.score_units import score_units

        needs = self._score.needs
        return score_units(
            pruner,
            self._score,
            batches=list(self._batches(pruner, context)) if needs else None,
            loss=_loss(context) if "gradients" in needs else None,
            seed=context.seed,
        )

    def _batches(self, pruner: Any, context: compression.StepContext) -> Iterator[Any]:
        from deepseek_compress.train.batches import as_tensors

        if context.train is None:
            raise errors.InputError(
                f"score {self._options.score!r} looks at data, and the recipe has none",
                remedy='add data.train = "package.module:function", or score = "l1"',
            )
        batches = context.train.batches(self._options.batch_size, seed=context.seed)
        for _, batch in zip(range(self._options.batches), batches, strict=False):
            tensors = as_tensors(batch, pruner.model)
            yield _example(*arguments_of(pruner.model, tensors.inputs)), tensors.labels

    def _budget(
        self,
        before: compression.ModelProfile,
        original: compression.ModelProfile,
        context: compression.StepContext,
    ) -> Any:
        from deepseek_compress.prune.budget import PruneBudget

        names = {"params": "parameters", "macs": "macs"}
        limits = {key: self._ratio(name, before, original, context) for key, name in names.items()}
        latency = context.budget.latency
        limit_ms = latency.seconds * 1e3 if latency is not None and self._by_latency else None
        if limit_ms is None and not any(limits.values()):
            raise errors.ConfigError(
                "nothing says how much is to be pruned",
                remedy='add budget.parameters = "/3.7", or parameters = "/3.7" to the step',
            )
        return PruneBudget(
            **limits,
            latency_ms=limit_ms,
            round_to=self._options.round_to,
            min_channels=self._options.min_channels,
            least_share=self._options.least_share,
        )

    def _ratio(
        self,
        name: str,
        before: compression.ModelProfile,
        original: compression.ModelProfile,
        context: compression.StepContext,
    ) -> float | None:
        """How many times less is asked for; None if nothing is.

        A share in the budget is one of the original, a share in the step one of what it is given.
        """
        mine, limit = getattr(self._options, name), getattr(context.budget, name)
        whole, of = getattr(before, name), getattr(original, name)
        if mine is not None:
            limit, of = compression.Limit.parse(mine, where=f"{NAME}: {name}"), whole
        if limit is None or not whole or not of:
            return None
        ratio: float = whole / float(limit.of(of))
        return max(ratio, 1.0)


def _original(
    pruner: Any, before: compression.ModelProfile, context: compression.StepContext
) -> compression.ModelProfile:
    """The size of the recipe's original, which may be larger than the model that is pruned."""
    if context.original is None or context.original is pruner.model:
        return before
    from deepseek_compress.profile import profile_with

    given = example_of(context.original, context)
    return profile_with(context.original, {name: tensor[:1] for name, tensor in given.items()})


def _example(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from deepseek_compress.prune.trace import Example

    return Example(args=args, kwargs=kwargs)


def _loss(context: compression.StepContext) -> Callable[[Any, Any], Any]:
    """The user's loss, else cross-entropy, of outputs and labels."""
    from deepseek_compress.steps.training import loss_of
    from deepseek_compress.train.objectives import UserLoss, cross_entropy

    own = loss_of(context)
    return cross_entropy if own is None else UserLoss(own).of


def _milliseconds(context: compression.StepContext) -> Any:
    if context.latency_s is None:
        raise errors.ConfigError(
            'allocate = "latency" follows a latency budget, and there is none',
            remedy='add budget.latency = { device = "cpu", p99_ms = 8.0 }',
        )
    predicted = context.latency_s

    def latency(layer: str, into: int, out: int) -> float:
        return predicted({"name": layer, "in_channels": into, "out_channels": out}) * 1e3

    return latency


def _kept(plan: compression.StepPlan) -> Any:
    from deepseek_compress.prune.plan import PrunePlan

    return PrunePlan.from_json(json.dumps(plan.choices["pruning"]))


def _described(tensor: Any) -> dict[str, Any]:
    """Shape and dtype of an input, for a trace when a run goes on."""
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _layers(pruner: Any, model: Any) -> list[dict[str, Any]]:
    """For each layer its channels before and after, for the report."""
    from deepseek_compress.prune.inspect import channel_counts

    return [
        {"name": name, "channels_before": before, "channels_after": after}
        for name, (before, after) in channel_counts(pruner, model).items()
    ]
