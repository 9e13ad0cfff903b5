from bad_samples.table import made_classes
from deepseek_core.testing import ScoreConformance

globals().update(made_classes(ScoreConformance, "score"))
