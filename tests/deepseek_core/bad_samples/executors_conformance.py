from bad_samples.table import made_classes
from deepseek_core.testing import ExecutorConformance

globals().update(made_classes(ExecutorConformance, "executor"))
