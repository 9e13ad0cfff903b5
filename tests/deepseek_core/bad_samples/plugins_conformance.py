"""The rules of all plugins, on each sample; `pytest -p deepseek_core.testing` runs this file."""

from bad_samples.table import SAMPLES, camel
from deepseek_core.testing import PluginConformance

for name in SAMPLES["plugin"]:
    cls = f"Test{camel(name)}"
    globals()[cls] = type(cls, (PluginConformance,), {"plugin": name})
del cls, name
