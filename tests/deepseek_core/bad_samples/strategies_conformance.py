from bad_samples.table import made_classes
from deepseek_core.testing import StrategyConformance

globals().update(made_classes(StrategyConformance, "strategy"))
