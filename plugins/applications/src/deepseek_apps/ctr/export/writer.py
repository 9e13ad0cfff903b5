"""What collects the nodes and constants of an ONNX graph."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8
ML: Final = "ai.onnx.ml"


class GraphWriter:
    """Nodes in the order in which they were added; names are numbered.

    Legend:
        `nodes`: the nodes so far.
        `constants`: initializers so far.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: npt.ArrayLike, dtype: Any = np.float32) -> str:
        """The name of a constant of this value."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """The name of a vector of whole numbers, as axes and shapes are given."""
        return self.constant(values, np.int64)

    def add(
        self, operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """The name of what an operator makes of these inputs."""
        from onnx import helper

        output = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], output, domain=domain, **attributes)
        )
        return output
