import numpy as np

from bad_samples.table import made_classes
from deepseek_core import Artifact, Operation, Stage, TensorSpec
from deepseek_core.testing import DeviceCase, DeviceConformance


def cases(self):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    return [case("double", "bad", x, 2 * x), case("abs", "", x, x)]


def case(name, domain, x, y):
    specs = [TensorSpec(name=n, dtype="float32", shape=("batch", 2), batch_axis=0) for n in "xy"]
    stage = Stage(
        name=name,
        kind=name,
        operations=[
            Operation(name=name.capitalize(), domain=domain, inputs=specs[:1], outputs=specs[1:])
        ],
        inputs=specs[:1],
        outputs=specs[1:],
        artifact=Artifact.from_bytes(name.encode(), format="bad"),
    )
    return DeviceCase(stage=stage, inputs={"x": x}, expected={"y": y})


classes = made_classes(DeviceConformance, "device", cases=cases)
for made in classes.values():
    made.device_id = f"bad:{made.name}"
globals().update(classes)
