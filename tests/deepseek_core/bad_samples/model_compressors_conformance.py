import numpy as np

from bad_samples.table import made_classes
from deepseek_core.testing import ModelCompressorConformance


class Small(ModelCompressorConformance):
    def model(self):
        return {"weight": np.arange(24, dtype=np.float32).reshape(6, 4)}


globals().update(made_classes(Small, "model_compressor"))
