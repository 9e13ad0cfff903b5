"""Erasure codes: speed of both kernels beside pyeclib and zfec, decodability, durability.

    python benchmarks/erasure.py [--json FILE] [--rounds N]

1. Encoding of 1 MiB fragments, in MB of data a second, with ISA-L's kernel and with numpy's alone,
   beside pyeclib's public API and zfec (RS(6,3) of the same data), interleaved. Parities of the
   contestants are compared before they are timed.
2. Rebuilding one fragment: what it reads, and GB of it a second.
3. Patterns of lost fragments beyond the guarantee: share that decodes against the best possible.
4. Nines of annual durability under three repair models, beside RS(6,3).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from _report import Report, Timing, interleave, pin, print_head, versions

if TYPE_CHECKING:
    from deepseek_store.codes import Code, Codec

NBYTES = 1 << 20
SPEED = ("RS(6,3)", "LRC(48,4,3)", "LRC(140,4,6)", "LRC(216,4,8)")
WIDE = ("LRC(126,3,6)", "LRC(140,4,6)", "LRC(216,4,8)")
DURABLE = ("RS(6,3)", "RS(14,4)", "LRC(48,4,3)", "RS(84,6)", *WIDE)
PATTERNS = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    pin()
    from deepseek_store.codes.choose_kernel import check_kernel, find_kernel

    used = versions(("deepseek-store", "numpy", "pyeclib", "zfec"))
    print_head("Erasure codes: 1 MiB fragments, one thread", used)
    for finding in check_kernel():
        print(finding.text)
    kernels = list(dict.fromkeys((find_kernel().name, "numpy")))
    report = Report(versions=used)
    _encode(report, kernels, args.rounds)
    _peers(report, kernels, args.rounds)
    _repair(report, kernels, args.rounds)
    _decodable(report)
    _durable(report)
    return report.finish(args.json)


def _data(k: int) -> list[bytes]:
    import numpy as np

    rng = np.random.default_rng(k)
    return [rng.bytes(NBYTES) for _ in range(k)]


def _codec(name: str, kernel: str) -> Codec:
    from deepseek_store.codes import Code, Codec

    return Codec(Code.parse(name), kernel)


def _rate(timing: Timing, nbytes: int) -> float:
    """MB a second, by the median."""
    return nbytes / timing.median_s / 1e6


def _encoder(codec: Codec, data: list[bytes]) -> Callable[[], object]:
    return lambda: codec.encode(data, NBYTES)


def _encode(report: Report, kernels: Sequence[str], rounds: int) -> None:
    print(f"\nencode, MB of data a second\n  {'code':14}" + "".join(f"{k:>10}" for k in kernels))
    for name in SPEED:
        codecs = {kernel: _codec(name, kernel) for kernel in kernels}
        data = _data(codecs["numpy"].code.k)
        made = [codec.encode(data, NBYTES) for codec in codecs.values()]
        assert all(each == made[0] for each in made)
        timings = interleave(
            {kernel: _encoder(codec, data) for kernel, codec in codecs.items()}, rounds=rounds
        )
        rates = {kernel: _rate(timings[kernel], len(data) * NBYTES) for kernel in kernels}
        print(f"  {name:14}" + "".join(f"{rates[kernel]:10.0f}" for kernel in kernels))
        for kernel in kernels:
            bar = 250.0 if kernel == "numpy" else 500.0
            report.at_least(f"{name} encodes with {kernel}", rates[kernel], bar, "MB/s")


def _peers(report: Report, kernels: Sequence[str], rounds: int) -> None:
    """RS(6,3) beside the peers that are installed, each with its own public API."""
    k, m = 6, 3
    data = _data(k)
    ours = {kernel: _encoder(_codec("RS(6,3)", kernel), data) for kernel in kernels}
    peers = {**_pyeclib(k, m, data), **_zfec(k, m, data)}
    timings = interleave({**ours, **peers}, rounds=rounds)
    print("\nencode RS(6,3), MB of data a second")
    for name, timing in timings.items():
        print(f"  {_rate(timing, k * NBYTES):10.0f}  {name}")
    for peer in peers:
        ratio = timings[peer].median_s / timings[kernels[0]].median_s
        report.at_least(f"RS(6,3) encodes with {kernels[0]}, times {peer}", ratio, 1.0)
    if "zfec" in peers:
        ratio = timings["zfec"].median_s / timings["numpy"].median_s
        report.at_least("RS(6,3) encodes with numpy alone, times zfec", ratio, 1.0)


def _pyeclib(k: int, m: int, data: list[bytes]) -> dict[str, Callable[[], object]]:
    try:
        from pyeclib.ec_iface import ECDriver
    except ImportError:
        print("pyeclib is not installed: left out")
        return {}
    driver, whole = ECDriver(k=k, m=m, ec_type="isa_l_rs_cauchy"), b"".join(data)
    parities = [bytes(fragment[80:]) for fragment in driver.encode(whole)[k:]]
    same = parities == _codec(f"rs({k},{m})", "numpy").encode(data, NBYTES)
    print(f"pyeclib's parities are {'the same bytes as ours' if same else 'other bytes than ours'}")
    return {"pyeclib isa_l_rs_cauchy": lambda: driver.encode(whole)}


def _zfec(k: int, m: int, data: list[bytes]) -> dict[str, Callable[[], object]]:
    try:
        import zfec
    except ImportError:
        print("zfec is not installed: left out")
        return {}
    encoder, numbers = zfec.Encoder(k, k + m), list(range(k, k + m))
    return {"zfec": lambda: encoder.encode(data, numbers)}


def _repair(report: Report, kernels: Sequence[str], rounds: int) -> None:
    print(f"\nrebuild fragment 0, GB read a second\n  {'code':14} {'reads':>6}")
    for name in SPEED:
        timings, reads = _time_repair(name, kernels, rounds)
        rates = {kernel: _rate(timings[kernel], reads * NBYTES) / 1e3 for kernel in kernels}
        print(f"  {name:14} {reads:6d}  " + "  ".join(f"{k} {r:.1f}" for k, r in rates.items()))
        if name.startswith("LRC"):
            for kernel, rate in rates.items():
                report.at_least(f"{name} repairs from {reads} reads, {kernel}", rate, 2.0, "GB/s")


def _time_repair(name: str, kernels: Sequence[str], rounds: int) -> tuple[dict[str, Timing], int]:
    codecs = {kernel: _codec(name, kernel) for kernel in kernels}
    code = codecs["numpy"].code
    data = _data(code.k)
    stripe = [*data, *codecs["numpy"].encode(data, NBYTES)]
    plan = codecs["numpy"].plan([0])
    assert not code.groups or plan.reads == code.members(0)[1:]  # its group and nothing else
    fragments = {index: stripe[index] for index in plan.reads}
    assert all(c.rebuild(plan, fragments, NBYTES)[0] == data[0] for c in codecs.values())

    def rebuild(codec: Codec) -> Callable[[], object]:
        return lambda: codec.rebuild(plan, fragments, NBYTES)

    contestants = {kernel: rebuild(codec) for kernel, codec in codecs.items()}
    return interleave(contestants, rounds=rounds), len(plan.reads)


def _decodable(report: Report) -> None:
    """Random patterns, decoded by the solver itself, against the count of a best code.

    Where no equation is to spare, any code over bytes fails on 1 pattern in 256 or so: with the
    most losses that can decode at all, nearly every pattern is of that sort.
    """
    import numpy as np

    from deepseek_store.codes import Code
    from deepseek_store.codes.share import excesses
    from deepseek_store.codes.solve import decodable

    print(f"\nbeyond the guarantee, {PATTERNS} patterns each: decodable, best possible, difference")
    for name in ("LRC(48,4,3)", *WIDE):
        code, rng = Code.parse(name), np.random.default_rng(7)
        for losses in range(code.tolerance + 1, code.parities + code.groups + 1):
            lost = [rng.permutation(code.n)[:losses].tolist() for _ in range(PATTERNS)]
            real = sum(decodable(code, each) for each in lost) / PATTERNS
            ideal = sum(_excess(code, each) <= code.parities for each in lost) / PATTERNS
            exact = sum(s for excess, s in excesses(code, losses) if excess <= code.parities)
            print(
                f"  {name:14} {losses:3} lost  {real:.4f}  {ideal:.4f} (all: {exact:.4f})"
                f"  {ideal - real:.4f}"
            )
            claim = f"{name}, {losses} lost: patterns that a best code would decode and it does not"
            report.at_most(claim, 1e3 * (ideal - real), 2.0, "\u2030")


def _excess(code: Code, lost: Sequence[int]) -> int:
    """Losses beyond one per local group."""
    groups = {code.group_of(index) for index in lost} - {None}
    return len(lost) - len(groups)


def _durable(report: Report) -> None:
    """Nines of every candidate; the wide codes have to be at least as safe as RS(6,3)."""
    from deepseek_store.codes import Code
    from deepseek_store.codes.choose import CANDIDATES
    from deepseek_store.codes.durability import REPAIRS, DurabilityModel, nines_by_repair

    model = DurabilityModel()
    narrow = nines_by_repair(Code.parse("RS(6,3)"), model)
    print(f"\nnines of annual durability of a stripe, AFR {model.afr:.0%}")
    print(
        f"  {'code':14} {'n':>4} {'eff.':>6} {'gain':>6} {'reads':>6}"
        + "".join(f"{repair:>11}" for repair in REPAIRS)
    )
    codes = dict.fromkeys([*CANDIDATES["cold"], *map(Code.parse, DURABLE)])
    for code in codes:
        found = nines_by_repair(code, model)
        gain = code.efficiency / Code.parse("RS(6,3)").efficiency - 1
        print(
            f"  {code.name:14} {code.n:4} {code.efficiency:6.3f} {gain:+6.0%}"
            f" {code.repair_reads:6}" + "".join(f"{found[repair]:11.1f}" for repair in REPAIRS)
        )
        if code.name in WIDE:
            for repair in REPAIRS:
                claim = f"{code.name}: nines, {repair} repair, beside RS(6,3)'s"
                report.at_least(claim, found[repair], round(narrow[repair], 2), "")


if __name__ == "__main__":
    raise SystemExit(main())
