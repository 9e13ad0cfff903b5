"""Steps in a row: made by name, and checked to fit each other before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import attrs

from deepseek_core import OpenedCompressor, compression, errors, open_compressor

EXPORTS: Final = {("torch", "onnx"): "export"}
"""Changes of form that the runner makes by itself."""
EXPORTED: Final = "fp32"
"""The name of the exported file, which every target may begin with."""


@attrs.frozen(kw_only=True, eq=False)
class Link:
    """One step of a chain: its place in the recipe, what does it, and a name of its own.

    `of` names the file that a target begins with.
    """

    where: str
    name: str
    opened: OpenedCompressor
    of: str = ""

    @property
    def step(self) -> compression.ModelCompressor:
        """The step itself."""
        step = self.opened.compressor
        assert isinstance(step, compression.ModelCompressor)
        return step

    @property
    def gives(self) -> str:
        """The form of the model that it gives."""
        return self.opened.spec.gives or self.opened.spec.takes


@attrs.frozen(kw_only=True)
class Chain:
    """The steps of a recipe, then one for each target."""

    steps: tuple[Link, ...]
    targets: tuple[Link, ...]


def chain_of(
    recipe: compression.Recipe, form: str, open_: Callable[..., OpenedCompressor] = open_compressor
) -> Chain:
    """The recipe's steps, made and checked for a model of that form.

    Raises:
        ConfigError: a line for each step that no plugin offers, whose options do not fit, that
            takes another form, or lacks what no step before it provides.
    """
    faults: list[str] = []
    steps = _opened(recipe.steps, "step", open_, faults)
    targets = _opened(recipe.lower, "lower", open_, faults)
    if not faults:
        has = _given(recipe)
        _check(steps, form, has, faults)
        files = {EXPORTED: "onnx"}
        for target in targets:
            _check([target], _begun_with(target, files, faults), set(has), faults)
            files[target.name] = target.gives
    if faults:
        raise errors.ConfigError("\n".join(faults))
    return Chain(steps=tuple(steps), targets=tuple(targets))


def _opened(
    wanted: Sequence[compression.RecipeStep],
    where: str,
    open_: Callable[..., OpenedCompressor],
    faults: list[str],
) -> list[Link]:
    links: list[Link] = []
    for number, item in enumerate(wanted):
        place = f"{where}[{number}]"
        try:
            opened = open_(item.use, item.options)
        except errors.DeepSeekError as error:
            faults.append(f"{place}: {error}")
            continue
        if opened.spec.target == "model":
            again = sum(link.opened.spec.name == item.use for link in links)
            name = f"{item.use}_{again + 1}" if again else item.use
            links.append(Link(where=place, name=name, opened=opened, of=item.of))
        else:
            faults.append(f"{place}: {item.use} is for {opened.spec.target}, not for models")
    return links


def _given(recipe: compression.Recipe) -> set[str]:
    """What steps may need and the recipe has."""
    data = recipe.data
    has = {
        "train": data.train,
        "calibration": data.calibration or data.train,
        "evaluate": data.validation or (data.train and data.validation_share),
        "original": True,
        "latency": recipe.budget.latency,
    }
    return {name for name, value in has.items() if value}


_SOURCES: Final = {
    "train": 'add data.train = "package.module:function"',
    "calibration": 'add data.calibration = "package.module:function"',
    "evaluate": 'add data.validation = "package.module:function"',
    "latency": 'add budget.latency = { device = "cpu", p99_ms = 8.0 }',
}


def _check(links: Iterable[Link], form: str, has: set[str], faults: list[str]) -> None:
    """Note what does not fit; `has` grows by what the links provide."""
    for link in links:
        spec = link.opened.spec
        if spec.takes != form and (form, spec.takes) not in EXPORTS:
            faults.append(
                f"{link.where}: {link.name} takes {spec.takes} models, and what comes to it is "
                f"{form} -> {_order(spec.takes)}"
            )
        for need in spec.needs:
            if need not in has:
                remedy = _SOURCES.get(need, f"put a step before it that provides {need}")
                faults.append(f"{link.where}: {link.name} needs {need} -> {remedy}")
        has.update(spec.provides)
        form = link.gives


def _begun_with(target: Link, files: Mapping[str, str], faults: list[str]) -> str:
    """The form of the file that a target begins with; the exported one if it names none.

    One that gives another form, as an engine, must name it: each file of the run is meant as well
    as any other.
    """
    takes = target.opened.spec.takes
    fitting = [name for name, form in files.items() if form == takes]
    close = get_close_matches(target.of, fitting, n=1) or fitting[-1:]
    remedy = f'add of = "{close[0]}"' if close else "change the order of the targets"
    if target.of and target.of not in files:
        faults.append(
            f"{target.where}: {target.name} is of {target.of!r}, and before it come "
            f"{', '.join(files)} -> {remedy}"
        )
        return takes
    if not target.of and target.gives != takes and fitting:
        faults.append(
            f"{target.where}: {target.name} does not say which file it is made of: "
            f"{', '.join(fitting)} -> {remedy}"
        )
    return files[target.of or EXPORTED]


def _order(takes: str) -> str:
    if takes == "torch":
        return "put it before the steps that give files, and give the model as an entry"
    return "change the order of the steps"


def provided_names(link: Link, provided: dict[str, Any]) -> dict[str, Any]:
    """What a step provided, checked against its record.

    Raises:
        PluginError: it provided more or less than it says.
    """
    if set(provided) != set(link.opened.spec.provides):
        raise errors.PluginError(
            f"{link.where}: {link.name} provided {sorted(provided)}, and its record says "
            f"{sorted(link.opened.spec.provides)}",
            remedy="update the plugin that offers it",
        )
    return provided
