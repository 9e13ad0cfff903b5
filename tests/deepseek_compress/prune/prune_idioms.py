"""All idioms; each of these modules registers its own."""

import idioms_of_branches  # noqa: F401
import idioms_of_layers  # noqa: F401
import idioms_of_layout  # noqa: F401
import idioms_of_sequences  # noqa: F401
from prune_idiom import IDIOMS

__all__ = ["IDIOMS"]
