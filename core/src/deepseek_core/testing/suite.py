"""Everything that one plugin promises, as tests; `--ds-plugin NAME` says which plugin.

pytest -p deepseek_core.testing --pyargs deepseek_core.testing.suite --ds-plugin NAME
"""

from __future__ import annotations

import pytest

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.testing import selection
from deepseek_core.testing.shipped import classes_of

if selection.chosen is None:
    raise ConfigError(
        "the suite needs to know which plugin to check",
        remedy="pytest -p deepseek_core.testing --pyargs deepseek_core.testing.suite "
        "--ds-plugin NAME",
    )

globals().update(classes_of(selection.chosen))

pytestmark = pytest.mark.filterwarnings("default")  # a stranger's warning is not our error
