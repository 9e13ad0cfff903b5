"""Translation: related tasks beside one task alone, and CTranslate2 beside eager PyTorch.

    python benchmarks/translation.py --data FOLDER --work FOLDER [--seeds 3] [--json FILE]
    python benchmarks/translation.py --data FOLDER --kept FOLDER [--json FILE]

Data: `multi30k_task1_raw.tar` of Multi30k, task 1 (Elliott et al. 2016; derived from Flickr30k, for
research and education alone, so it lies in no repository).

1. 3,000 English-German pairs, tested on test2016. "single" learns from these alone; "multi" also
   the other direction, 29,000 pairs each into French and Czech, and to restore German captions
   with noise (25,974 more than the pairs have). Both have as many parameters, updates and target
   tokens an update, a vocabulary of as many pieces learned from their own training part, and keep
   the best of their ten checkpoints by BLEU on val, tried from the last one back. Differences are
   paired: seeds and texts are drawn again (1,000 times); sacrebleu's own paired bootstrap stands
   beside them seed by seed.
   How often the main task is drawn, and for how long alone, was chosen among four ways by BLEU on
   val of seed 0; test figures of three of them were known.
2. Greedy translation of test2016 by the exported model and by the eager one, which keeps keys and
   values from token to token and drops texts that have ended: equal token by token, and seconds
   for a text at a time and for 32. One thread each, in turn. The exported one in int8 stands beside
   them, with its BLEU.

`--work` is where trainings live; those that are there are gone on from. Each leaves translations
and facts in WORK/kept, which `--kept` scores again without a training (part 2 is then not run).
`--quick` trains for a few updates: it shows that the script runs, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _report import Report, interleave, pin, print_head, versions

ARCHIVE = "multi30k_task1_raw.tar"
PAIRS = 3000
ARMS = {
    "single": {"tasks": "main"},
    "multi": {"tasks": "main,reverse,languages,denoise"},
}
BAR_BLEU, BAR_SPEED = 3.2, 3.0
GAIN = f"BLEU of related tasks over one alone, {PAIRS:,} pairs, test2016"
BATCHES = (1, 32)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help=f"where {ARCHIVE} is")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--work", type=Path, help="where trainings live, and are gone on from")
    where.add_argument("--kept", type=Path, help="translations of an earlier run, to score again")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-train", action="store_true", help="leave part 2 out")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    pin()
    used = versions(("torch", "ctranslate2", "sacrebleu", "sentencepiece", "deepseek-apps"))
    print_head("Translation: related tasks, and deployment", used)
    texts = _read_archive(args.data / ARCHIVE)
    report = Report(versions=used)
    if args.work:
        for seed in range(args.seeds):
            for arm in ARMS:
                _train(args.work, arm, seed, texts, quick=args.quick)
    _compare(report, args.kept or args.work / "kept", texts)
    if args.work and not args.only_train:
        _speed(report, args.work / "multi", texts)
    return report.finish(args.json)


def _read_archive(path: Path) -> dict[str, list[str]]:
    """Lines by part and language, as "train.en"."""
    with tarfile.open(path) as archive:
        held = {
            Path(member.name).name.removesuffix(".gz"): archive.extractfile(member)
            for member in archive.getmembers()
            if member.isfile()
        }
        return {
            name.replace("test_2016_flickr", "test"): gzip.decompress(file.read())
            .decode()
            .removesuffix("\n")
            .split("\n")
            for name, file in held.items()
            if file
        }


def _write_source(folder: Path, texts: Mapping[str, Sequence[str]]) -> Path:
    """The folder that a user would have."""
    folder.mkdir(parents=True, exist_ok=True)
    german = list(texts["train.de"])
    random.Random(1).shuffle(german)
    for name, lines in {**texts, "mono.de": german}.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def _job(arm: str, *, quick: bool) -> Any:
    from deepseek_apps.translate.job import Translate

    few = {"updates": 20, "warmup": 5} if quick else {}
    return Translate(pairs=PAIRS, **ARMS[arm], **few)


def _train(work: Path, arm: str, seed: int, texts: Mapping[str, Any], *, quick: bool) -> None:
    """Train one seed of an arm unless it is there, and keep its translations."""
    from deepseek_apps.translate.evaluating import translated
    from deepseek_apps.translate.run_folder import read_run
    from deepseek_apps.translate.training import read_result

    kept = work / "kept" / f"{arm}-{seed}.json"
    if kept.exists():
        return
    from deepseek_core import applications

    job = _job(arm, quick=quick)
    context = applications.ApplicationContext(folder=work / arm, threads=1)
    context.folder.mkdir(parents=True, exist_ok=True)
    if not context.data.exists():
        card = job.prepare(_write_source(work / "source", texts), context)
        print(f"{arm}: {dict(card.parts)}, {'; '.join((*card.notes, *card.warnings))}", flush=True)
    begin_s = time.perf_counter()
    job.train(seed, context)
    run = read_run(context.seed(seed))
    result = read_result(run.folder)
    kept.parent.mkdir(exist_ok=True)
    facts = {
        "arm": arm, "seed": seed, "updates": run.options.updates, "kept_update": result.kept,
        "parameters": result.parameters, "cpu_s": result.cpu_s, "validation": result.validation,
        "hypotheses": translated(run, texts["test.en"], 1),
    }  # fmt: skip
    kept.write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"{arm} seed {seed}: {time.perf_counter() - begin_s:.0f} s", flush=True)


def _compare(report: Report, kept: Path, texts: Mapping[str, Sequence[str]]) -> None:
    """Score what was kept, in pairs of equal seeds."""
    from deepseek_apps.shared.intervals import over_seeds, paired_over_both
    from deepseek_apps.translate.memory import Memory
    from deepseek_apps.translate.scoring import Scorer

    found = {arm: _facts(kept, arm) for arm in ARMS}
    seeds = sorted(set(found["single"]) & set(found["multi"]))
    if not seeds:
        report.not_run(GAIN, BAR_BLEU, f"no seed was trained in both ways: {kept}", "")
        return
    scorer = Scorer([[text] for text in texts["test.de"]], "de")
    bleu = {}
    for arm in ARMS:
        facts = [found[arm][seed] for seed in seeds]
        scores = [scorer.score(one["hypotheses"]) for one in facts]
        bleu[arm] = [one.bleu for one in scores]
        mean = over_seeds(bleu[arm])
        print(
            f"\n{arm}: BLEU {mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f}, t over "
            f"{len(seeds)} seeds), by seed {_told(bleu[arm])}; chrF "
            f"{_told([one.chrf for one in scores])}\n  {facts[0]['parameters']:,} parameters, "
            f"{facts[0]['updates']:,} updates, kept {[one['kept_update'] for one in facts]}, BLEU "
            f"on val {_told([max(one['validation'].values()) for one in facts])}, CPU s "
            f"{_told([one['cpu_s'] for one in facts])}"
        )
    memory = Memory(_known_pairs(texts))
    base = scorer.score([memory.translate(text) for text in texts["test.en"]])
    print(f"\ntranslation memory of the same pairs: BLEU {base.bleu:.2f}, chrF {base.chrf:.2f}")
    print(f"signatures: {base.bleu_signature}; {base.chrf_signature}")
    hypotheses = {arm: [found[arm][seed]["hypotheses"] for seed in seeds] for arm in ARMS}
    rows = {arm: [scorer.statistics(one) for one in many] for arm, many in hypotheses.items()}
    both = paired_over_both(scorer.bleu_of, rows["multi"], rows["single"])
    over = over_seeds([a - b for a, b in zip(bleu["multi"], bleu["single"], strict=True)])
    print(
        f"multi - single: {both.value:+.2f} BLEU; {both.low:+.2f} to {both.high:+.2f} by bootstrap "
        f"of seeds and texts, {over.low:+.2f} to {over.high:+.2f} by t over {len(seeds)} seeds"
    )
    for n, seed in enumerate(seeds):
        _sacrebleu_paired(seed, {arm: hypotheses[arm][n] for arm in ARMS}, texts["test.de"])
    report.at_least(f"{GAIN}, {len(seeds)} seeds", both.value, BAR_BLEU, "")
    report.at_least("its lower end, bootstrap of seeds and texts", both.low, 0.0, "")


def _known_pairs(texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    from deepseek_apps.translate.preparing import cut_pairs

    return list(cut_pairs(list(zip(texts["train.en"], texts["train.de"], strict=True)), PAIRS))


def _sacrebleu_paired(
    seed: int, systems: Mapping[str, Sequence[str]], references: Sequence[str]
) -> None:
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    named = [(name, list(texts)) for name, texts in systems.items()]
    test = PairedTest(named, {"BLEU": BLEU()}, [list(references)], test_type="bs", n_samples=1000)
    signatures, scores = test()
    told = [
        f"{name} {one.score:.2f}"
        for name, one in zip(scores["System"], scores["BLEU"], strict=True)
    ]
    p_value = scores["BLEU"][1].p_value
    print(f"  seed {seed}, sacrebleu --paired-bs: {', '.join(told)}, p = {p_value:.4f}")
    print(f"    {signatures['BLEU']}")


def _facts(kept: Path, arm: str) -> dict[int, dict[str, Any]]:
    read = [json.loads(path.read_text(encoding="utf-8")) for path in kept.glob(f"{arm}-*.json")]
    return {one["seed"]: one for one in read}


def _told(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _speed(report: Report, folder: Path, texts: Mapping[str, Sequence[str]]) -> None:
    """The exported model beside the eager one, on test2016."""
    import torch

    from deepseek_apps.translate.decoding import greedy, greedy_in_batches
    from deepseek_apps.translate.deployed import Deployed
    from deepseek_apps.translate.run_folder import read_run
    from deepseek_apps.translate.to_ctranslate2 import convert
    from deepseek_apps.translate.training import WEIGHTS, load_model, load_texts

    torch.set_num_threads(1)
    run = read_run(folder / "seed-0")
    _, vocabulary = load_texts(run)
    model = load_model(run, run.folder / WEIGHTS)
    convert(model, vocabulary.pieces, folder / "speed")
    deployed = Deployed(folder / "speed", vocabulary)
    rounded = Deployed(folder / "speed", vocabulary, compute="int8")
    most = run.options.longest
    for part in ("val", "test"):
        rows = vocabulary.source(texts[f"{part}.en"], "de")
        eager, exported = greedy_in_batches(model, rows, most), deployed.translate(rows, most)
        alike = sum(one == other for one, other in zip(eager, exported, strict=True))
        report.at_least(
            f"texts of {part} translated token by token alike, of {len(rows):,}",
            alike,
            len(rows),
            "",
        )
        if part == "test":
            _print_int8(exported, rounded.translate(rows, most), vocabulary, texts["test.de"])
    rows = vocabulary.source(texts["test.en"][:320], "de")
    for size in BATCHES:
        ordered = sorted(rows[: 32 if size == 1 else 320], key=len)
        batches = [ordered[n : n + size] for n in range(0, len(ordered), size)]
        ways: dict[str, Callable[[], object]] = {
            "eager": lambda batches=batches: [greedy(model, one, most) for one in batches],  # type: ignore[misc]
            "ctranslate2": lambda batches=batches: [  # type: ignore[misc]
                deployed.translate(one, most, batch=64) for one in batches
            ],
            "ctranslate2 in int8": lambda batches=batches: [  # type: ignore[misc]
                rounded.translate(one, most, batch=64) for one in batches
            ],
        }
        timings = interleave(ways, rounds=9, seconds=60, clock=time.process_time)
        taken = {name: timing.median_s / len(ordered) * 1e3 for name, timing in timings.items()}
        print(
            f"batch {size}: CPU ms a text, {', '.join(f'{n} {ms:.2f}' for n, ms in taken.items())}"
        )
        report.at_least(
            f"CTranslate2 over eager PyTorch with a cache, greedy, batch {size}",
            taken["eager"] / taken["ctranslate2"], BAR_SPEED,
        )  # fmt: skip
        report.at_least(
            f"CTranslate2 in int8, whose words may differ, batch {size}",
            taken["eager"] / taken["ctranslate2 in int8"], BAR_SPEED,
        )  # fmt: skip


def _print_int8(
    exact: Sequence[Any], rounded: Sequence[Any], vocabulary: Any, references: Sequence[str]
) -> None:
    from deepseek_apps.translate.scoring import Scorer

    scorer = Scorer([[text] for text in references], "de")
    bleu = [scorer.score(vocabulary.decode(rows)).bleu for rows in (exact, rounded)]
    alike = sum(one == other for one, other in zip(exact, rounded, strict=True))
    print(f"greedy BLEU {bleu[0]:.2f}, in int8 {bleu[1]:.2f}; {alike} of {len(exact)} texts alike")


if __name__ == "__main__":
    sys.exit(main())
