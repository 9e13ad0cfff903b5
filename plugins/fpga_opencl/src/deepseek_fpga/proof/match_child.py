"""Matches one case on one device and tells what came of it; a process of its own.

`python -m deepseek_fpga.proof.match_child REQUEST`, where REQUEST is JSON: device, metric, form,
cache (a folder), patch (of PoCL), binary (a path or null). Drivers crash and hang: here they may.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deepseek_fpga.matcher import Matcher
from deepseek_fpga.opening import open_device
from deepseek_fpga.proof.cases import WORD_BYTES, K, make_case
from deepseek_fpga.variants import default_variant

QUERIES, ROWS, SEED = 33, 500, 7


def main() -> None:
    """Print one line of JSON: queries whose list was wrong, of how many."""
    request = json.loads(sys.argv[1])
    print(json.dumps(matched(request)))  # noqa: T201 - the answer


def matched(request: dict[str, Any]) -> dict[str, int]:
    """Queries whose list differs from that of exact numpy.

    Raises:
        DeviceError: what the device answered.
    """
    metric = request["metric"]
    case = make_case(metric, QUERIES, ROWS, WORD_BYTES, SEED)
    device = open_device(request["device"], patch_pocl=request["patch"])
    with Matcher(
        device,
        case.gallery,
        metric=metric,
        k=K,
        cache_folder=Path(request["cache"]),
        variant=default_variant(device.record, metric, request["form"]),
        binary=Path(request["binary"]) if request["binary"] else None,
    ) as matcher:
        indices, distances = matcher.query(case.queries)
    device.close()
    return {"mismatches": case.mismatches(indices, distances), "queries": len(case.queries)}


if __name__ == "__main__":
    main()
