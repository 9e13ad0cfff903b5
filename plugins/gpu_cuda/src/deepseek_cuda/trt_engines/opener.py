"""Opens an engine where its manifest says that it runs; else says how to build one that does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deepseek_core import Operation, Stage, Support, errors
from deepseek_cuda.driver.api import CudaApi
from deepseek_cuda.place import Place
from deepseek_cuda.trt_engines import _edge
from deepseek_cuda.trt_engines.engine import Ready, TrtEngine
from deepseek_cuda.trt_engines.frontend import DOMAIN
from deepseek_cuda.trt_engines.manifest import EngineFile, read_engine, read_manifest
from deepseek_cuda.trt_engines.runtime import Runtime

_PACKAGES: Final = {"tensorrt": "tensorrt", "tensorrt_rtx": '"deepseek-trt[rtx]"'}


class EngineOpener:
    """Engines of deepseek-trt on one GPU; `find` and `start` are the real library's."""

    domain = DOMAIN

    def __init__(
        self,
        place: Place,
        api: CudaApi,
        find: Callable[[str], str | None] = _edge.module_of,
        start: Callable[[str], Runtime] = _edge.TensorRtRuntime,
    ) -> None:
        self._place, self._api, self._find, self._start = place, api, find, start
        self._runtimes: dict[str, Runtime] = {}

    def supports(self, operation: Operation) -> Support:
        """Whether the flavor is installed and the GPU is one of the engine's; imports nothing."""
        flavor = str(operation.attributes.get("flavor", ""))
        if self._find(flavor) is None:
            return Support.no(f"{flavor or 'TensorRT'} is not installed")
        targets = operation.attributes.get("targets", ())
        if self._place.compute not in targets:
            return Support.no(
                f"the engine is for compute capability {', '.join(targets)}, "
                f"and this GPU's is {self._place.compute}"
            )
        return Support.yes()

    def open(self, stage: Stage, stream: int) -> TrtEngine:
        """The engine, read and checked.

        Raises:
            Unsupported: it is for another GPU, flavor or version; names both, and the command.
            ArtifactError: it is damaged.
            OutOfMemory: its scratch memory does not fit.
        """
        file = read_manifest(stage.artifact)
        runtime = self._runtime(file)
        self._check(file, runtime)
        engine = runtime.deserialize(read_engine(stage.artifact, file))
        if engine is None:
            raise self._refused(file, f"TensorRT does not load it: {runtime.last_words()}")
        context = runtime.context(engine)
        if context is None:
            raise errors.OutOfMemory(
                f"{self._id} has no space left for the engine: {runtime.last_words()}",
                device_id=self._id,
                remedy="build it with less scratch memory: ds-sdk trt build --workspace 256M",
            )
        ready = Ready(
            runtime=runtime, engine=engine, context=context, file=file, device_id=self._id
        )
        return TrtEngine(self._api, stream, ready)

    @property
    def _id(self) -> str:
        return self._place.device_id

    def _runtime(self, file: EngineFile) -> Runtime:
        if file.simulated:
            raise self._refused(file, "it is a simulation in the place of an engine")
        known = self._runtimes.get(file.flavor)
        if known is not None:
            return known
        module = self._find(file.flavor)
        if module is None:
            raise errors.Unsupported(
                f"{self._id}: the engine is for {file.flavor} {file.version}, not installed here",
                device_id=self._id,
                remedy=f"pip install {_PACKAGES.get(file.flavor, 'tensorrt')}",
            )
        try:
            made = self._runtimes[file.flavor] = self._start(module)
        except (ImportError, OSError, AttributeError, RuntimeError, TypeError) as error:
            raise errors.Unsupported(
                f"{self._id}: {module} does not load: {error}",
                device_id=self._id,
                remedy=f"pip install --force-reinstall {_PACKAGES[file.flavor]}",
            ) from error
        return made

    def _check(self, file: EngineFile, runtime: Runtime) -> None:
        here = self._place
        pairs = [
            ("version", file.version, runtime.version),
            ("compute capability", ", ".join(file.targets), here.compute),
            ("GPU", file.device or here.name, here.name),
        ]
        for what, built, found in pairs:
            if found not in (file.targets if what == "compute capability" else (built,)):
                raise self._refused(file, f"it is for {what} {built}, and here is {found}")

    def _refused(self, file: EngineFile, why: str) -> errors.Unsupported:
        build = "ds-sdk trt build MODEL -o FOLDER"
        command = f"{build} --backend {file.flavor} --compute {self._place.compute}"
        if file.flavor not in _edge.MODULES:
            command = f"{build} --compute {self._place.compute}"
        return errors.Unsupported(
            f"{self._id} does not run the engine of {file.where}: {why}; build it again: {command}",
            device_id=self._id,
            remedy=command,
        )
