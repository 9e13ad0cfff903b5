from bad_samples.table import made_classes
from deepseek_core.testing import CommandConformance

globals().update(made_classes(CommandConformance, "command", arguments=[["--count", "3"]]))
