"""Writes resnest.npz from the authors' own release of ResNeSt, `resnest` 0.0.5 on PyPI.

In a throw-away folder: `pip download --no-deps resnest==0.0.5`, unpack the wheel, then
`python make_resnest.py FOLDER`. Its package imports more than torch; the three files that
define the networks do not, and they alone are imported.
"""

import sys
import types
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from golden_weights import drawn, fill

SIZES = (("resnest50", 64, 64), ("resnest50", 97, 75), ("resnest101", 64, 64))


def main(folder):
    package = types.ModuleType("released")
    package.__path__ = [str(Path(folder) / "resnest" / "torch")]
    sys.modules["released"] = package
    found = {}
    with torch.no_grad():
        released = import_module("released.resnest")
        for name, height, width in SIZES:
            network = fill(getattr(released, name)(num_classes=10))
            x = drawn(f"pictures {height}x{width}", 2, 3, height, width)
            found[f"{name}_{height}x{width}"] = network(x).numpy()
        attention = import_module("released.splat").SplAtConv2d
        for radix, groups in ((1, 1), (2, 2), (4, 1)):
            layer = fill(
                attention(
                    16, 16, 3, padding=1, groups=groups, bias=False, radix=radix,
                    norm_layer=torch.nn.BatchNorm2d,
                )
            )  # fmt: skip
            found[f"split_{radix}_{groups}"] = layer(drawn("map", 2, 16, 9, 7)).numpy()
    np.savez_compressed(Path(__file__).with_name("resnest.npz"), **found)


if __name__ == "__main__":
    main(sys.argv[1])
