"""Step `trt_engine` of compression recipes: an engine out of an ONNX file of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from onnx import ModelProto

from deepseek_core import Artifact, compression, errors
from deepseek_trt.building.build import backend_name, build, check_targets, identify
from deepseek_trt.building.engine import Engine
from deepseek_trt.cache.engines import EngineCache
from deepseek_trt.checking import raise_for, rules_over
from deepseek_trt.model.read import read_model, tensors
from deepseek_trt.model.scope import shape_of
from deepseek_trt.options import BuildOptions
from deepseek_trt.problem import printable
from deepseek_trt.profile import Profile
from deepseek_trt.recipe_words import in_recipe_words

NAME: Final = "trt_engine"
MANIFEST: Final = "engine.json"


@attrs.frozen(kw_only=True)
class EngineOptions:
    """Options of engines, as `ds-sdk trt build` has them.

    `compute` are compute capabilities of the GPUs. `profiles` are ranges of shapes; an input whose
    length is free and that has none gets the shape that the recipe's model has. `backend` auto is
    full TensorRT where there is a GPU, else TensorRT-RTX. An engine is taken from the `cache` if
    it is there, and kept in it.
    """

    compute: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    backend: Literal["auto", "tensorrt", "tensorrt_rtx", "fake"] = "auto"
    tf32: bool = True
    sparse_weights: bool = False
    workspace_nbytes: int = 0
    time_limit_s: float = 1800.0
    cache: bool = True


class BuildEngine(compression.ModelCompressor):
    """Checks a file by our rules, then builds an engine of it, or takes it from the cache.

    Raises:
        LibraryMissing: TensorRT is not here, or does not load: told when the recipe is read.
        ConfigError: it does not build for these GPUs, or a profile can't be read.
    """

    @in_recipe_words()
    def __init__(self, **options: Any) -> None:
        given = EngineOptions(**options)
        self._keeps = given.cache  # whether engines are kept in the cache
        self._build = BuildOptions(
            targets=given.compute,
            profiles=[Profile.parse(text) for text in given.profiles],
            tf32=given.tf32,
            sparse_weights=given.sparse_weights,
            workspace_nbytes=given.workspace_nbytes,
            time_limit_s=given.time_limit_s,
        )
        self._backend = backend_name(None if given.backend == "auto" else given.backend)
        # flavor and version, found before anything is trained
        self._library = identify(self._backend)
        check_targets(self._build.targets, self._library)

    def versions(self) -> dict[str, str]:
        """The library's flavor and version: an engine is of them alone."""
        return {self._library.flavor: self._library.version}

    @in_recipe_words()
    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """The profiles that it will be built with.

        Raises:
            ModelRefused: rules refuse the model; names the nodes.
            InputError: it is not an ONNX file.
        """
        read = _read(model)
        added = _recipe_shapes(read, self._build.profiles, context.inputs)
        profiles = (*self._build.profiles, *added)
        problems = rules_over(read, self._build.targets, profiles, flavor=self._backend)
        raise_for(problems, self._backend)
        sizes = compression.ModelProfile(parameters=_parameters(read), nbytes=len(model.read()))
        return compression.StepPlan(
            step=NAME,
            before=sizes,
            after=attrs.evolve(sizes, nbytes=None),
            choices={"profiles": [profile.to_json() for profile in profiles]},
            notes=(
                f"by {self._library.flavor} {self._library.version} "
                f"for {', '.join(self._build.targets)}",
                *(f"for {p.input} of shape {'x'.join(map(str, p.opt))} alone" for p in added),
            ),
        )

    @in_recipe_words()
    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Build it; its manifest lies beside it.

        Raises:
            ModelRefused, BuildFailed, CacheUnusable, CacheBusy: as `build` says.
        """
        read = _read(model)
        context.progress(0, 1, "building an engine")

        def told(spent_s: float, text: str) -> None:
            context.progress(0, 1, f"{spent_s:.0f} s: {printable(text)[:90]}")

        profiles = [Profile.from_json(kept) for kept in plan.choices["profiles"]]
        engine = build(
            read,
            attrs.evolve(self._build, profiles=profiles),
            backend=self._backend,
            cache=EngineCache() if self._keeps else None,
            progress=told,
        )
        path = context.workspace / MANIFEST
        path.write_text(engine.manifest.text(), encoding="utf-8")
        return compression.StepResult(
            model=Artifact.from_bytes(engine.content, format="engine"),
            profile=attrs.evolve(plan.before, nbytes=engine.manifest.nbytes),
            provided={"engine_manifest": path},
            figures={"from_cache": float(engine.from_cache)},
            notes=_notes(engine),
        )


def _read(model: Any) -> ModelProto:
    if not isinstance(model, Artifact) or model.format != "onnx":
        raise errors.InputError(
            f"takes an ONNX file, given a {type(model).__name__}",
            remedy="give an Artifact of format onnx",
        )
    return read_model(model.read())


def _recipe_shapes(
    model: ModelProto, given: Sequence[Profile], shapes: Mapping[str, tuple[int, ...]]
) -> list[Profile]:
    """For inputs of free length without a profile, the shape that the recipe says."""
    named = {profile.input for profile in given}
    found = []
    for value in model.graph.input:
        declared, shape = shape_of(value), shapes.get(value.name)
        free = declared is not None and any(not isinstance(length, int) for length in declared)
        if free and shape and value.name not in named:
            found.append(Profile(input=value.name, min=shape, opt=shape, max=shape))
    return found


def _parameters(model: ModelProto) -> int:
    """Numbers of all tensors that the model holds."""
    return sum(math.prod(tensor.dims) for tensor in tensors(model))


def _notes(engine: Engine) -> tuple[str, ...]:
    what = "NO ENGINE (simulated)" if engine.manifest.simulated else "an engine"
    source = "from the cache" if engine.from_cache else "built now"
    return (f"{what}, {source}", *engine.notes, *map(printable, engine.manifest.warnings))
