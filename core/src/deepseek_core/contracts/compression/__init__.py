"""Compression of models: budgets, recipes, what a step answers, the folder that a run leaves.

Records and one contract, without torch. Import it by `from deepseek_core import compression`.
"""

from __future__ import annotations

from deepseek_core.contracts.compression.budget import Budget, BudgetRow, LatencyBudget, Limit
from deepseek_core.contracts.compression.folder import Manifest
from deepseek_core.contracts.compression.interval import Interval
from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.compression.recipe import (
    DataSource,
    ModelSource,
    Recipe,
    RecipeStep,
    RunSettings,
)
from deepseek_core.contracts.compression.report import CompressionReport, StepRow, Variant
from deepseek_core.contracts.compression.samples import Batch, Samples
from deepseek_core.contracts.compression.score import LayerView, Score
from deepseek_core.contracts.compression.step import (
    ModelCompressor,
    ModelProfile,
    StepContext,
    StepPlan,
    StepResult,
)

__all__ = [
    "Batch",
    "Budget",
    "BudgetRow",
    "CompressionReport",
    "DataSource",
    "Interval",
    "LatencyBudget",
    "LayerView",
    "Limit",
    "Manifest",
    "Metric",
    "ModelCompressor",
    "ModelProfile",
    "ModelSource",
    "Recipe",
    "RecipeStep",
    "RunSettings",
    "Samples",
    "Score",
    "StepContext",
    "StepPlan",
    "StepResult",
    "StepRow",
    "Variant",
]
