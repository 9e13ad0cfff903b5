from bad_samples.table import made_classes
from deepseek_core.testing import CompressorConformance

globals().update(made_classes(CompressorConformance, "compressor"))
