"""Its promises as tests: `ds-sdk check-plugin null` runs them."""

from collections.abc import Sequence

import numpy as np

from deepseek_core import Artifact, Operation, Stage, TensorSpec
from deepseek_core.testing import DeviceCase, DeviceConformance


class TestNull(DeviceConformance):
    """The device that sleeps."""

    plugin = "null"
    name = "null"
    device_id = "null:0"

    def cases(self) -> Sequence[DeviceCase]:
        """Sleeping hands its input on."""
        x = np.arange(6, dtype=np.float32).reshape(3, 2)
        sleep = Operation(
            name="Sleep", domain="deepseek.null", attributes={"seconds_per_item": 1e-4}
        )
        stage = Stage(
            name="sleep",
            kind="sleep",
            operations=[sleep],
            inputs=[TensorSpec(name="x", dtype="float32", shape=("batch", 2), batch_axis=0)],
            outputs=[TensorSpec(name="y", dtype="float32", shape=("batch", 2), batch_axis=0)],
            artifact=Artifact.from_bytes(b"", format="null"),
        )
        return [DeviceCase(stage=stage, inputs={"x": x}, expected={"y": x})]
