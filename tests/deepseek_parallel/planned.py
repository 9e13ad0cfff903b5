"""Problems of the planner's tests, and what was published of four of them.

Times: arXiv 2205.05198, Table 5; activations: Figure 1; both as Calculon's validation (Apache-2.0)
lists them. A100-80GB, sequences of 2048, vocabulary of 51,200, no data parallelism.
"""

import attrs

from deepseek_parallel.planning.cluster import GPUS, Cluster
from deepseek_parallel.planning.estimate import Problem
from deepseek_parallel.planning.mesh import Mesh
from deepseek_parallel.planning.model import MODELS, Transformer
from deepseek_parallel.planning.training import ASSUMED, Training

# model: mesh, batch
RUNS = {
    "22b": (Mesh(dp=1, tp=8, pp=1, micro=4), 4),
    "175b": (Mesh(dp=1, tp=8, pp=8, interleave=3), 64),
    "530b": (Mesh(dp=1, tp=8, pp=35, interleave=3), 280),
    "1t": (Mesh(dp=1, tp=8, pp=64), 512),
}
FULL_S = {"22b": 1.42, "175b": 18.13, "530b": 49.05, "1t": 94.42}
SELECTIVE_S = {"22b": 1.10, "175b": 13.75, "530b": 37.83, "1t": 71.49}
ACTIVATIONS_GIB = {  # without recomputation; selective with sequence parallelism
    "22b": (59.25, 9.5625),
    "175b": (66.84375, 12.3515625),
    "530b": (114.0234375, 23.076171875),
    "1t": (131.25, 26.5625),
}

SMALL = Transformer(hidden=1024, layers=12, heads=16, sequence=512, vocabulary=32000)


def nodes(gpu, num, **changes):
    return attrs.evolve(GPUS[gpu], nodes=num, **changes)


def problem(model, *groups, **training):
    return Problem(
        model=MODELS.get(model, SMALL),
        cluster=Cluster(groups=groups),
        training=Training(**training),
        assumed=ASSUMED,
    )
