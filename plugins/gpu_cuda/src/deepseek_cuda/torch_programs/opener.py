"""Opens programs of torch.export where torch with CUDA is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepseek_core import Operation, Stage, Support, errors
from deepseek_cuda.place import Place
from deepseek_cuda.torch_programs.archive import read_archive
from deepseek_cuda.torch_programs.specs import DOMAIN, signature_of

if TYPE_CHECKING:
    from deepseek_cuda.torch_programs.engine import TorchEngine, TorchPlace

_INSTALL: Final = "pip install torch"


def find_torch() -> tuple[str, str]:
    """Why torch can't run a program on a GPU, and what to do; both empty if it can.

    Imports nothing: what a build says of itself stands in a file.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "torch is not installed", _INSTALL
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError as error:
        return f"torch is damaged: {error}", f"{_INSTALL} --force-reinstall"
    version = re.search(r"^__version__ = '(.*)'$", text, re.M)
    if re.search(r"^cuda\b.*= None$", text, re.M):
        told = f"torch {version[1] if version else ''} was built without CUDA"
        return told, f"pip uninstall -y torch && {_INSTALL}"
    return "", ""


class ProgramOpener:
    """Programs on one GPU; `start` makes what runs them, `find` says why nothing can."""

    domain = DOMAIN

    def __init__(
        self,
        place: Place,
        find: Callable[[], tuple[str, str]] = find_torch,
        start: Callable[[int], TorchPlace] | None = None,
    ) -> None:
        self._place, self._find, self._start = place, find, start

    def supports(self, operation: Operation) -> Support:
        """Whether torch is here: it has every operator that a vetted program names."""
        reason, remedy = self._find()
        return Support.no(f"{reason} ({remedy})") if reason else Support.yes()

    def open(self, stage: Stage, stream: int) -> TorchEngine:
        """The program as a module on the GPU.

        Raises:
            Unsupported: torch with CUDA is not installed, or the program keeps a state.
            ArtifactError: it is damaged, not one that is run here, or another one by now.
            OutOfMemory: it does not fit.
        """
        device_id = self._place.device_id
        reason, remedy = self._find()
        if reason:
            told = f"{device_id}: {reason}"
            raise errors.Unsupported(told, device_id=device_id, remedy=remedy)
        archive = read_archive(stage.artifact)
        known = stage.artifact.fingerprint
        if known.startswith("pt2:") and known != archive.identity:
            raise errors.ArtifactError(
                f"{stage.artifact.path} changed on disk since the program was loaded",
                remedy="load it again",
            )
        found = signature_of(archive.program)
        try:
            from deepseek_cuda.torch_programs.engine import TorchEngine, loaded

            if self._start is None:
                from deepseek_cuda.torch_programs._edge import CudaTorch

                self._start = CudaTorch
        except (ImportError, OSError) as error:
            raise errors.Unsupported(
                f"{device_id}: torch does not load: {error}",
                device_id=device_id,
                remedy=f"{_INSTALL} --force-reinstall",
            ) from error
        names = [spec.name for spec in found.inputs], [spec.name for spec in found.outputs]
        program = loaded(archive, device_id)
        return TorchEngine(self._start(self._place.ordinal), stream, program, names, device_id)
