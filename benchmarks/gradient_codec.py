"""The codec of gradients: selection beside `torch.topk`, bits of a kept value, milliseconds.

Gradients are drawn: normal ones, and ones with a heavy tail (Student's t with 3 degrees of
freedom), of 100 thousand, 1 million and 10 million values, of which 1 % are kept. Selection is
exact, as that of `torch.topk` is, which does not sort here either; both begin with magnitudes. One
thread; contestants run in turn, and medians are compared. Bits are those of the whole packet.

    python benchmarks/gradient_codec.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from _report import Report, interleave, pin, print_head, versions

LENGTHS: Final = (100_000, 1_000_000, 10_000_000)
ROUNDS: Final = 30
MOST_S: Final = 8.0  # of a length


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin()
    import numpy as np
    import torch

    torch.set_num_threads(1)
    used = versions(["deepseek-core", "torch", "numpy"])
    print_head("The codec of gradients, 1 % kept", used)
    report = Report(versions=used)
    draw = np.random.default_rng(0)
    print("\nms: ours  topk   pack unpack  bits of a kept value")
    for length in LENGTHS:
        drawn = {"normal": draw.standard_normal(length), "heavy tail": draw.standard_t(3, length)}
        for kind, values in drawn.items():
            _judge(report, f"{length:,} values, {kind}", values.astype(np.float32))
    return report.finish(args.json)


def _judge(report: Report, of: str, values: Any) -> None:
    import numpy as np
    import torch

    from deepseek_parallel import TopK
    from deepseek_parallel.codec.select import largest, num_kept

    codec, num, tensor = TopK(), num_kept(len(values), 0.01), torch.from_numpy(values)
    packed = codec.pack(values)
    found = largest(values, num)
    best = np.sort(torch.topk(tensor.abs(), num, sorted=False).values.numpy())
    if not np.array_equal(np.sort(np.abs(values[found])), best):
        raise SystemExit(f"{of}: not the largest were selected")
    took = interleave(
        {
            "ours": lambda: largest(values, num),
            "topk": lambda: torch.topk(tensor.abs(), num, sorted=False),
            "pack": lambda: codec.pack(values),
            "unpack": lambda: codec.unpack(packed),
        },
        rounds=ROUNDS,
        seconds=MOST_S,
    )
    bits = 8 * packed.nbytes / num
    told = "".join(f"{1e3 * took[name].median_s:7.2f}" for name in took)
    print(f"{told}  {bits:6.2f}  {of}", flush=True)
    ratio = took["ours"].median_s / took["topk"].median_s
    report.at_most(f"selection over torch.topk, {of}", ratio, 0.3)
    report.at_most(f"bits of a kept value, {of}", bits, 12.2, "bit")


if __name__ == "__main__":
    sys.exit(main())
