"""From a model to an engine: rules first, then the cache, then the library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import attrs
from onnx import ModelProto

from deepseek_core import errors
from deepseek_trt.backends.backend import Built, Identity
from deepseek_trt.backends.find import NAMES, flavors, missing
from deepseek_trt.backends.messages import nodes_named
from deepseek_trt.borders import differing
from deepseek_trt.building.engine import Engine
from deepseek_trt.building.isolated import Call, Log, run
from deepseek_trt.cache.engines import EngineCache
from deepseek_trt.cache.key import key_of
from deepseek_trt.checking import raise_for, rules_over
from deepseek_trt.errors import BuildFailed, CacheUnusable, EngineDamaged
from deepseek_trt.manifest import Manifest
from deepseek_trt.model.digest import digest
from deepseek_trt.model.facts import node_names
from deepseek_trt.model.read import model_bytes, read_model
from deepseek_trt.options import BuildOptions
from deepseek_trt.problem import Problem

Progress = Callable[[float, str], None]
_SHORT_S: Final = 60.0


def build(
    model: str | Path | bytes | ModelProto,
    options: BuildOptions,
    *,
    backend: str | None = None,
    cache: EngineCache | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Engine:
    """Build an engine, or take it from the cache.

    `backend` is a flavor; by default full TensorRT where there is a GPU, else TensorRT-RTX. With
    `force`, what only our rules refuse is built nevertheless, and noted in the manifest.

    Raises:
        ArtifactError: the model can't be read.
        ModelRefused: rules or parser refuse it; names the nodes.
        BuildFailed: the library failed, crashed, or took too long.
        LibraryMissing: there is no such flavor here.
        CacheUnusable, CacheBusy: the cache can't be used; nothing was built.
    """
    read = read_model(model)
    name = backend_name(backend)
    problems = rules_over(read, options.targets, options.profiles, flavor=name)
    if not force:
        raise_for(problems, name)
    library = identify(name)
    check_targets(options.targets, library)
    job = _Job(read, options, library, problems, progress)
    return job.without_cache() if cache is None else job.with_cache(cache)


def backend_name(given: str | None) -> str:
    """The flavor that is meant.

    Raises:
        ConfigError: there is no such flavor.
        LibraryMissing: none is named, and none is here.
    """
    if given is not None:
        if given not in NAMES:
            raise errors.ConfigError(
                f"there is no backend {given!r}", remedy=f"use one of {', '.join(NAMES)}"
            )
        return given
    known = flavors()
    found = next((flavor.name for flavor in known if flavor.available), None)
    if found is None:
        raise missing(known[-1])
    return found


@lru_cache(maxsize=8)
def identify(name: str) -> Identity:
    """Version and targets of a flavor, which is loaded in a child, once for this process.

    Raises:
        LibraryMissing: it is not here, or does not load.
    """
    identity: Identity = run(Call(task="identify", backend=name, limit_s=_SHORT_S), Log())
    return identity


@attrs.frozen
class _Job:
    """One build with all that it needs."""

    model: ModelProto
    options: BuildOptions
    library: Identity
    problems: tuple[Problem, ...]
    progress: Progress | None

    def without_cache(self) -> Engine:
        return self._built(None, key_of(digest(self.model), self.library, self.options))

    def with_cache(self, cache: EngineCache) -> Engine:
        cache.open()
        key, notes = key_of(digest(self.model), self.library, self.options), list[str]()
        kept = _kept(cache, key, notes)
        if kept is not None:
            return kept
        with cache.locked(key, self.options.time_limit_s, self._waiting):
            kept = _kept(cache, key, notes)  # somebody else may have built it meanwhile
            if kept is not None:
                return kept
            built = self._built(cache, key)
            notes += _put(cache, built)
        return attrs.evolve(built, notes=tuple(dict.fromkeys(notes)))

    def _waiting(self, spent_s: float) -> None:
        if self.progress is not None:
            self.progress(spent_s, "another process builds this engine")

    def _built(self, cache: EngineCache | None, key: str) -> Engine:
        log, call = Log(), self._call(None if cache is None else cache.timings)
        try:
            library, built = run(call, log, self.progress)
        except BuildFailed as error:
            _name_nodes(error, self.model)
            raise
        if library != self.library:
            raise _changed(self.library, library)
        manifest = self._manifest(built, key)
        return Engine(manifest=manifest, content=built.content, from_cache=False, log=log.text)

    def _call(self, timings: Path | None) -> Call:
        return Call(
            task="build",
            backend=self.library.flavor,
            limit_s=self.options.time_limit_s,
            model=model_bytes(self.model),
            options=self.options.to_json(),
            timings=timings,
        )

    def _manifest(self, built: Built, key: str) -> Manifest:
        told = (*self.problems, *differing(self.model, built.borders))
        return Manifest(
            flavor=self.library.flavor,
            version=self.library.version,
            targets=self.options.targets,
            device=self.library.device,
            options=self.options.identity(),
            model=digest(self.model),
            key=key,
            sha256=hashlib.sha256(built.content).hexdigest(),
            nbytes=len(built.content),
            borders=built.borders,
            warnings=[str(problem) for problem in told],
            simulated=self.library.flavor == "fake",
        )


def _changed(before: Identity, now: Identity) -> BuildFailed:
    return BuildFailed(
        f"{before.flavor} became {now.version} while this process knew {before.version}",
        device_id=before.flavor,
        remedy="start again",
    )


def _kept(cache: EngineCache, key: str, notes: list[str]) -> Engine | None:
    try:
        found = cache.get(key)
    except EngineDamaged as error:
        notes.append(f"built again: {error.message}")
        return None
    if found is None:
        return None
    return Engine(manifest=found[0], content=found[1], from_cache=True)


def _put(cache: EngineCache, engine: Engine) -> list[str]:
    """Keep an engine; what was built is not lost because there is no space to keep it."""
    try:
        cache.put(engine.manifest, engine.content)
    except CacheUnusable as error:
        return [f"the engine was built and is not kept: {error.message}"]
    return []


def check_targets(targets: Sequence[str], library: Identity) -> None:
    """See that a flavor builds for these GPUs.

    Raises:
        ConfigError: it does not; names those for which it does.
    """
    others = [target for target in targets if target not in library.targets]
    if others:
        here = f"the GPU here, {library.device}, is" if library.device else "it builds for"
        raise errors.ConfigError(
            f"{library.flavor} {library.version} does not build for {', '.join(others)}: "
            f"{here} {', '.join(library.targets)}",
            remedy=f"--compute {','.join(library.targets)}",
        )


def _name_nodes(error: BuildFailed, model: ModelProto) -> None:
    error.nodes = nodes_named(node_names(model.graph), error.log)
