"""Every real model of the corpus: package, file, domain, and inputs that it understands."""

from __future__ import annotations

from typing import Final

from corpus_kit.case import Case

from real_models import hearing, language, measurements, vision

CASES: Final[tuple[Case, ...]] = tuple(
    case for part in (hearing, vision, language, measurements) for case in part.cases()
)
