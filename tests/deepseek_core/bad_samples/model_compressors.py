"""A sound compressor of models (it drops half of the rows), and the others."""

import itertools

import numpy as np

from deepseek_core import compression, errors

SERIAL = itertools.count()


def profile_of(model):
    return compression.ModelProfile(parameters=sum(array.size for array in model.values()))


class Sound(compression.ModelCompressor):
    """A model is a mapping of names to arrays of two dimensions."""

    def check(self, model):
        if not isinstance(model, dict):
            raise errors.InputError(f"takes a dict of arrays, not {type(model).__name__}")

    def choices(self, model):
        return {name: [array.shape[0] // 2, array.shape[1]] for name, array in model.items()}

    def plan(self, model, context):
        self.check(model)
        choices = self.choices(model)
        kept = {name: np.empty(shape) for name, shape in choices.items()}
        return compression.StepPlan(
            step="sound", before=profile_of(model), after=profile_of(kept), choices=choices
        )

    def reshape(self, model, plan):
        return {name: model[name][:rows].copy() for name, (rows, _) in plan.choices.items()}

    def apply(self, model, plan, context):
        context.progress(0, 1, "halving")
        made = self.reshape(model, plan)
        note = context.workspace / "note"
        note.write_text("halved")
        return compression.StepResult(model=made, profile=profile_of(made), provided={"note": note})


class PlansByDoing(Sound):
    def plan(self, model, context):
        plan = super().plan(model, context)
        (context.workspace / "plan").write_text("planned")
        return plan


class CountsItsPlans(Sound):
    def plan(self, model, context):
        plan = super().plan(model, context)
        plan.choices["serial"] = [next(SERIAL), 0]
        return plan

    def reshape(self, model, plan):
        return {name: model[name][: plan.choices[name][0]].copy() for name in model}


class PlansInTuples(Sound):
    def choices(self, model):
        return {name: tuple(shape) for name, shape in super().choices(model).items()}


class WorksInPlace(Sound):
    def apply(self, model, plan, context):
        result = super().apply(model, plan, context)
        model["weight"] *= 2
        return result


class PromisesTooMuch(Sound):
    def choices(self, model):
        return {name: [rows, width] for name, (rows, width) in super().choices(model).items()}

    def plan(self, model, context):
        plan = super().plan(model, context)
        after = compression.ModelProfile(parameters=1)
        return compression.StepPlan(
            step=plan.step, before=plan.before, after=after, choices=plan.choices
        )


class KeepsItToItself(Sound):
    def apply(self, model, plan, context):
        result = super().apply(model, plan, context)
        return compression.StepResult(model=result.model, profile=result.profile)


class Salts(Sound):
    def apply(self, model, plan, context):
        result = super().apply(model, plan, context)
        result.model["weight"] += next(SERIAL)
        return result


class ForgetsTheStructure(Sound):
    def apply(self, model, plan, context):
        result = super().apply(model, plan, context)
        transposed = {name: array.T.copy() for name, array in result.model.items()}
        return compression.StepResult(
            model=transposed, profile=result.profile, provided=result.provided
        )


class TakesAnything(Sound):
    def check(self, model):
        pass


class GoesOn(Sound):
    def apply(self, model, plan, context):
        try:
            context.progress(0, 1, "halving")
        except errors.Interrupted:
            quiet = compression.StepContext(workspace=context.workspace)
            return super().apply(model, plan, quiet)
        return super().apply(model, plan, context)
