"""The process in which `facts` watches a probe: plugin, answer's file and locator are arguments."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import attrs

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.testing._facts_child import write_answer
from deepseek_core.testing.subject import ask, records_of, registry_of
from deepseek_core.testing.watching import watching


def main() -> None:
    """Call the probe once, as discovery calls it."""
    plugin, answer, locator = sys.argv[1:]
    found = (record for _, record in records_of(registry_of(plugin)))
    registered = next(r for r in found if getattr(r.record, "probe", None) == locator)
    with watching() as seen:
        with suppress(DeepSeekError):  # "not here" is an answer, too
            ask(registered)
        traces = seen()
    write_answer(Path(answer), attrs.asdict(traces))


if __name__ == "__main__":
    main()
