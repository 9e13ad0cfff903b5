"""What a store takes for what it holds: logical over stored bytes, and the durability beside it.

    python benchmarks/efficiency.py [--json FILE] [--stripes N] [--fragment KIB]

Stores of random objects are filled, brought to their cold (or warm) tier by the store's own moves
and collected. Everything is counted then: fragments with their headers, parities, the short last
stripe, the index, and what is left in the home. The tiers are folders of one disk that stand for
150 (or 228) failure domains: simulated domains, real files. RS(6,3) is stored and counted the same
way. The nines are of a Markov model, under three models of repair.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from _report import Report, pin, print_head, versions

if TYPE_CHECKING:
    from deepseek_store.codes.code import Code

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = {"rs(6,3)": 150, "lrc(48,4,3)": 150, "lrc(140,4,6)": 150, "lrc(216,4,8)": 228}
# Shares of hot, warm and cold bytes of a whole store.
MIXES = ((0.02, 0.08, 0.90), (0.05, 0.25, 0.70))
OBJECT_NBYTES = (64 << 10, 4 << 20)


@attrs.frozen(kw_only=True)
class Measured:
    """What one store took."""

    code: str
    logical_nbytes: int
    stored_nbytes: int
    full_stripes: int
    stripes: int

    @property
    def efficiency(self) -> float:
        """Logical over stored bytes."""
        return self.logical_nbytes / self.stored_nbytes


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--stripes", type=int, default=3, help="full stripes of each wide code")
    parser.add_argument("--fragment", type=int, default=1024, help="KiB of a fragment")
    args = parser.parse_args()
    pin()
    used = versions(("deepseek-store", "deepseek-storage-local", "numpy", "pyeclib"))
    print_head("Efficiency: stores in files, simulated failure domains", used)
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    measured: dict[str, Measured] = {}
    for name in DOMAINS:
        with tempfile.TemporaryDirectory(dir=out) as folder:
            measured[name] = fill(Path(folder), name, args.stripes, args.fragment << 10)
        row = measured[name]
        print(
            f"  {row.code:13} {row.logical_nbytes / 1e6:7.1f} MB in"
            f" {row.stored_nbytes / 1e6:7.1f} MB, {row.full_stripes} full of {row.stripes}"
            f" stripes: {row.efficiency:.4f}"
        )
    report = Report(versions=used)
    _rows(report, measured)
    _mixes(measured)
    _nines(report)
    return report.finish(args.json)


def fill(folder: Path, name: str, stripes: int, fragment_nbytes: int) -> Measured:
    """Make a store, fill so many stripes and a little more, and count."""
    import numpy as np

    from deepseek_store import Policy, Store
    from deepseek_store.codes.code import Code

    code = Code.parse(name)
    warm = name == "lrc(48,4,3)"
    tier = folder / "tier"
    tier.mkdir()
    tier_name = "warm" if warm else "cold"
    policy = Policy(
        codes={"hot": "auto", "warm": "auto", "cold": "auto"} | {tier_name: name},
        warm_fragment_nbytes=fragment_nbytes if warm else 16 << 20,
        cold_fragment_nbytes=fragment_nbytes,
        sizing=1 << 20,
        grace_s=0.0,
    )
    url = f"{tier.as_uri()}?domains={DOMAINS[name]}"
    # The last stripe is nearly full: a store waits for a full one, `send` does not.
    width = max(code.k, 140)
    wanted = int((stripes + 0.96) * width * fragment_nbytes)
    rng = np.random.default_rng(7)
    tiers = {tier_name: [url]}
    with Store.init(folder / "home", policy=policy, **tiers) as store:
        logical = 0
        while logical < wanted:
            nbytes = int(np.exp(rng.uniform(*np.log(OBJECT_NBYTES))))
            store.put(f"objects/{logical:012d}", rng.bytes(nbytes), durable=False)
            logical += nbytes
        store.maintenance.send([info.key for info in store.list()], tier_name)
        store.maintenance.gc()
        for info in list(store.list())[::97]:
            assert len(store.get(info.key)) == info.nbytes
        made = list(store.parts.state.stripes.values())
    shutil.rmtree(folder / "home" / "writers", ignore_errors=True)
    return Measured(
        code=code.name,
        logical_nbytes=logical,
        stored_nbytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        full_stripes=sum(stripe.width == code.k for stripe in made),
        stripes=len(made),
    )


def _rows(report: Report, measured: dict[str, Measured]) -> None:
    base = measured["rs(6,3)"].efficiency
    for name, bar in (("lrc(140,4,6)", 0.930), ("lrc(216,4,8)", 0.940)):
        row = measured[name]
        claim = f"{row.code}: logical / stored bytes, all counted"
        report.at_least(claim, row.efficiency, bar, "")
        report.at_least(f"{row.code}: full stripes in it", row.full_stripes, 3, "")
        report.at_least(
            f"{row.code} over RS(6,3) counted the same way", row.efficiency / base, 1.39
        )


def _mixes(measured: dict[str, Measured]) -> None:
    """Whole stores, from the measured parts; a hot byte is on the SSD and in a warm stripe."""
    warm = measured["lrc(48,4,3)"].efficiency
    base = measured["rs(6,3)"].efficiency
    print("\nwhole stores (hot / warm LRC(48,4,3) / cold), hot copies counted:")
    for hot, mild, cold in MIXES:
        for name in ("lrc(140,4,6)", "lrc(216,4,8)"):
            taken = hot * (1 + 1 / warm) + mild / warm + cold / measured[name].efficiency
            print(
                f"  {hot:.0%} / {mild:.0%} / {cold:.0%} with {measured[name].code}: "
                f"{1 / taken:.3f}, {1 / taken / base - 1:+.0%} over RS(6,3)"
            )


def _nines(report: Report) -> None:
    from deepseek_store.codes.code import Code
    from deepseek_store.codes.durability import DurabilityModel, nines_by_repair

    def nines(code: Code) -> dict[str, float]:
        return {**nines_by_repair(code, DurabilityModel())}

    base = nines(Code.parse("rs(6,3)"))
    print("\nnines of annual durability of a stripe, modeled (equal repair / bandwidth / latent):")
    print("  RS(6,3)       " + " / ".join(f"{value:.1f}" for value in base.values()))
    for name in ("lrc(140,4,6)", "lrc(216,4,8)"):
        code = Code.parse(name)
        found = nines(code)
        print(f"  {code.name:13} " + " / ".join(f"{value:.1f}" for value in found.values()))
        for model, value in found.items():
            claim = f"{code.name}: nines under {model} repair, RS(6,3)'s {base[model]:.1f}"
            report.at_least(claim, value, base[model], "")


if __name__ == "__main__":
    raise SystemExit(main())
