from bad_samples.table import made_classes
from deepseek_core.testing import StrategyConformance

globals().update(
    made_classes(
        StrategyConformance, "strategy", case="bad_samples.strategies:case", trained_ranks=(4,)
    )
)
