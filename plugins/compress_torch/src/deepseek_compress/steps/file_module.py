"""ONNX files as modules, so that what judges modules judges what a device will run."""

from __future__ import annotations

from typing import Any

import torch

from deepseek_compress.nesting import nested
from deepseek_compress.onnx_graph.running import open_session


class FileModule(torch.nn.Module):
    """Runs a model in ONNX Runtime on one thread; inputs come in the file's order.

    `like` is an output of the module that the file was made of: outputs are nested so.
    """

    def __init__(self, proto: Any, like: Any) -> None:
        super().__init__()
        self._like = like
        self._session = open_session(proto)
        self._names = [value.name for value in self._session.get_inputs()]

    def forward(self, *inputs: Any) -> Any:
        """The outputs, as the module gives them."""
        arrays = [tensor.detach().cpu().numpy() for tensor in inputs]
        found = self._session.run(None, dict(zip(self._names, arrays, strict=True)))
        return nested(self._like, map(torch.from_numpy, found))
