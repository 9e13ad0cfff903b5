"""A model lowered for one runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
from onnx import ModelProto

from deepseek_compress.onnx_graph.files import write_whole
from deepseek_core import errors

Target = Literal["ort_x86", "trt"]


@attrs.frozen(kw_only=True, eq=False)
class Lowered:
    """The file's content, `stays_float`: heavy nodes that are float and why, and notes.

    `simulated`: it has tensors of fewer than 8 bits, so it shows accuracy and is not fast.
    """

    proto: ModelProto = attrs.field(repr=False)
    target: Target
    stays_float: Mapping[str, str]
    simulated: bool = False
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises:
            InputError: it is larger than the 2 GB that one file may have.
            WriteError: no space, or no permission.
        """
        try:
            content = self.proto.SerializeToString()
        except Exception as error:  # protobuf raises ValueError or EncodeError
            raise errors.InputError(f"the lowered model can't be one file: {error}") from error
        write_whole(path, content)
