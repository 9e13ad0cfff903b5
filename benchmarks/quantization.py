"""Quantization: int8 coverage and speed, and what training in few bits is worth on Fashion-MNIST.

The teacher is `examples/compression/data/teacher.npz` (0.70 M parameters). For each seed a student
has a tenth of its parameters: pruned, and taught for 4 epochs on 20,000 pictures that the seed
draws. Each pair of weight and activation bits is quantized after training, with the calibration
method that loses least, and trained with the teacher (step `qat`): for an epoch of 12,800 pictures,
at 3 bits for 3 of 20,000. What is shipped, the step chooses by 5,000 other training pictures; all
figures are of the 10,000 test pictures, and means over seeds. Two columns do not count: the scales
that QAT begins from, untrained, and QAT with labels alone. A third, `minmax`, is quantization after
training by the ranges of calibration, which is what other tools do unless asked.

Speed is processor time of one picture at one thread, the two files in turns.

    python benchmarks/quantization.py --data FOLDER [--seeds N] [--quick] [--kept DIR] [--json FILE]

FOLDER (or `$DEEPSEEK_DATA`) has `fashion_mnist_*.npz`. With `--kept` trainings are kept there and
gone on from. A seed takes about 4 CPU minutes, `--quick` half of one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from _report import Report, interleave, pin, print_head, print_timings, versions

EXAMPLE = Path(__file__).parents[1] / "examples" / "compression"
SHAPE = (1, 1, 28, 28)
BITS = ((8, 8), (4, 4), (3, 3), (2, 8))
PICTURES, QAT_PICTURES, JUDGED, EPOCHS = 20_000, 12_800, 5_000, 4
LONGER = {(3, 3): {"epochs": 3, "learning_rate": 0.01}}
AHEAD_BARS = {(3, 3): 6.0, (2, 8): 60.0}  # points over quantization after training
SPEED_BAR = 1.8


class Bench:
    """The data, the teacher, and where trainings lie."""

    def __init__(self, arguments: argparse.Namespace, kept: Path, seed: int) -> None:
        import fashion
        import numpy as np

        self.kept, self.quick, self.seed = kept / f"seed-{seed}", arguments.quick, seed
        self.tested: list[float] = []
        self.teacher = fashion.trained(str(EXAMPLE / "data" / "teacher.npz"))
        x, y = fashion.read("train", arguments.data)
        rows = np.random.default_rng(seed).permutation(len(x))
        count, qat = (2_000, 1_280) if self.quick else (PICTURES, QAT_PICTURES)
        self.judging = samples(x, y, rows[count : count + (500 if self.quick else JUDGED)])
        self.train, self.qat = samples(x, y, rows[:count]), samples(x, y, rows[:qat])
        self.calibration = samples(x, y, rows[:512])
        tx, ty = fashion.read("test", arguments.data)
        self.test = samples(tx, ty, np.arange(1_000 if self.quick else len(tx)))

    def context(self, name: str, train: Any) -> Any:
        """What a step is told."""
        from deepseek_core import compression

        folder = self.kept / name
        folder.mkdir(parents=True, exist_ok=True)
        return compression.StepContext(
            workspace=folder,
            inputs={"x": SHAPE},
            train=train,
            calibration=self.calibration,
            original=self.teacher,
            evaluate=self.judge,
            lead=self.lead,
            seed=self.seed,
        )

    def judge(self, model: Any) -> float:
        """What a step chooses by; what it would not know, the accuracy on the test, is noted."""
        self.tested.append(self.accuracy(model))
        return told_right(model, self.judging)

    def lead(self, one: Any, other: Any) -> Any:
        """By how much a step sees the one ahead, in points, with the interval."""
        from deepseek_compress.recipe.judging import Judge

        return Judge().lead((one, "torch"), (other, "torch"), self.judging)

    def accuracy(self, model: Any) -> float:
        """Share of the test pictures that a module tells."""
        return told_right(model, self.test)

    def student(self) -> Any:
        """A tenth of the teacher, taught by it."""
        from deepseek_compress.steps.distill import Distill
        from deepseek_compress.steps.prune import Prune
        from deepseek_compress.steps.recover_bn import RecoverBn

        epochs = 1 if self.quick else EPOCHS
        model = self.teacher
        for step in (
            Prune(parameters="/10"),
            RecoverBn(),
            Distill(epochs=epochs, learning_rate=0.05),
        ):
            model = self.applied(step, model, f"student_{type(step).__name__}", self.train).model
        return model

    def applied(self, step: Any, model: Any, name: str, train: Any) -> Any:
        """What a step makes of a model."""
        context = self.context(name, train)
        return step.apply(model, step.plan(model, context), context)

    def trained_in(self, bits: tuple[int, int], student: Any, *, distill: bool = True) -> Tested:
        """What quantization after training and step `qat` reach, and which of them is shipped."""
        from deepseek_compress.steps.quantize import Qat

        longer = bits in LONGER and distill
        more = LONGER[bits] if longer else {}
        step = Qat(weights=bits[0], activations=bits[1], distill=distill, **more)
        name = f"{'kd' if distill else 'ce'}_{bits[0]}_{bits[1]}"
        self.tested = []
        train = self.train if longer else self.qat
        shipped = self.applied(step, student, name, train).figures["shipped_qat"]
        ptq, qat = (100 * value for value in self.tested)
        return Tested(ptq=ptq, qat=qat, shipped=qat if shipped else ptq)

    def untrained_in(self, bits: tuple[int, int], student: Any) -> tuple[float, float]:
        """Accuracy in the ranges of calibration, and in the scales that QAT begins from."""
        from deepseek_compress.steps.quantize import Bench as Quantizing
        from deepseek_compress.steps.quantize import Qat, QatOptions

        given = {"weights": bits[0], "activations": bits[1]}
        context, step = self.context("start", self.qat), Qat(**given)
        folded = step.reshape(student, step.plan(student, context))
        made = Quantizing.of(folded, QatOptions(**given), context)
        plain = made.quantized(made.calibrated(made.floats, "minmax", "minmax").spec)
        return 100 * self.accuracy(plain), 100 * self.accuracy(made.started())


class Tested(NamedTuple):
    """Percent of the test pictures that a student tells in a pair of bits."""

    ptq: float
    qat: float
    shipped: float
    minmax: float = float("nan")


def told_right(model: Any, pictures: Any) -> float:
    from deepseek_compress.train.evaluate import accuracy
    from deepseek_compress.train.predictor import torch_predictor

    return accuracy(torch_predictor(model), pictures).score.value


def samples(x: Any, y: Any, rows: Any) -> Any:
    from deepseek_compress.samples.arrays import ArraySamples

    return ArraySamples(inputs={"x": x[rows]}, labels=y[rows])


def bits_rows(bench: Bench, student: Any) -> dict[tuple[int, int], Tested]:
    """A line for each pair of bits."""
    print(f"\nseed {bench.seed}: student in float: {100 * bench.accuracy(student):.2f} %")
    columns = ("minmax", "ptq", "start", "qat", "qat+kd", "shipped")
    print(f"  {'bits':>5}" + "".join(f"{column:>9}" for column in columns) + "    CPU s")
    found = {}
    for bits in BITS:
        start_s = time.process_time()
        tested = bench.trained_in(bits, student)
        spent_s = time.process_time() - start_s
        minmax, start = bench.untrained_in(bits, student)
        found[bits] = tested._replace(minmax=minmax)
        labels = bench.trained_in(bits, student, distill=False).qat
        row = (minmax, tested.ptq, start, labels, tested.qat, tested.shipped, spent_s)
        print(f"  {bits[0]:>2}/{bits[1]:<2}" + "".join(f"{v:9.2f}" for v in row), flush=True)
    return found


def add_claims(report: Report, seeds: list[dict[tuple[int, int], Tested]]) -> None:
    """The mean over seeds for each pair of bits; where none is asked for, no seed is worse."""
    from deepseek_compress.train.intervals import over_seeds

    print("\nshipped less quantized after training, points, mean over seeds (95 % interval)")
    for bits in BITS:
        ahead = [seed[bits].shipped - seed[bits].ptq for seed in seeds]
        found, name = over_seeds(ahead), f"{bits[0]}/{bits[1]} bits"
        each = ", ".join(f"{value:+.2f}" for value in ahead)
        print(f"  {name}: {found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f}): {each}")
        if bits in AHEAD_BARS:
            claim = f"{name}: shipped over quantized after training, mean of {len(seeds)} seeds"
            report.at_least(claim, found.value, AHEAD_BARS[bits], "pt")
            claim = f"{name}: shipped over min-max ranges, mean of {len(seeds)} seeds"
            over = over_seeds([seed[bits].shipped - seed[bits].minmax for seed in seeds])
            report.at_least(claim, over.value, AHEAD_BARS[bits], "pt")
        else:
            claim = f"{name}: shipped over quantized after training, worst seed"
            report.at_least(claim, min(ahead), 0.0, "pt")


def files_agree(bench: Bench, student: Any, report: Report) -> None:
    """Each target's file beside the module that is fake-quantized for it, 8/8, trained and not."""
    from deepseek_compress.quantize.fake_quantized import learned_spec, plain
    from deepseek_compress.steps.quantize import Bench as Quantizing
    from deepseek_compress.steps.quantize import Qat, QatOptions

    context = bench.context("agree", bench.qat)
    folded = Qat().reshape(student, Qat().plan(student, context))
    for target in ("ort_x86", "trt"):
        made = Quantizing.of(folded, QatOptions(target=target), context)
        after = made.calibrated(made.floats, "auto", "minmax").spec
        claim = f"8/8 {target}: the file agrees with the fake-quantized module"
        file = lowered_bytes(target, made.floats, after)
        report.at_least(claim, same(bench, made.quantized(after), file), 99.0, "%")
        module = made.fitted(made.started()).model
        floats = made.exported(plain(module))
        rest = made.calibrated(floats, "mse", "mse").spec
        file = lowered_bytes(target, floats, learned_spec(module, made.example, floats, rest))
        report.at_least(f"{claim}, trained", same(bench, module, file), 99.0, "%")


def lowered_bytes(target: str, floats: Any, spec: Any) -> bytes:
    from deepseek_compress.lower.ort_x86 import lower_ort_x86
    from deepseek_compress.lower.trt import lower_trt

    made = (lower_trt if target == "trt" else lower_ort_x86)(floats, spec)
    return bytes(made.proto.SerializeToString())


def same(bench: Bench, module: Any, file: bytes) -> float:
    """Percent of the test pictures that both put into one class."""
    from deepseek_compress.train.onnx_files import onnx_predictor
    from deepseek_compress.train.predictor import torch_predictor

    x = {"x": bench.test.inputs["x"]}
    agree = torch_predictor(module)(x).argmax(1) == onnx_predictor(file)(x).argmax(1)
    return 100 * float(agree.mean())


def speed(bench: Bench, model: Any, name: str, report: Report) -> None:
    """Coverage, size and processor time of a network's files."""
    import numpy as np

    from deepseek_compress.lower.coverage import int8_coverage
    from deepseek_compress.lower.export import export_onnx
    from deepseek_compress.lower.ort_x86 import lower_ort_x86
    from deepseek_compress.onnx_graph.reading import read_float_model
    from deepseek_compress.onnx_graph.running import compare, open_session
    from deepseek_compress.quantize.calibrating import calibrate

    path = bench.kept / f"{name}.onnx"
    export_onnx(model, {"x": SHAPE}, path)
    floats = read_float_model(path)
    lowered = lower_ort_x86(floats, calibrate(floats, bench.calibration).spec)
    coverage = int8_coverage(floats, lowered, bench.calibration)
    report.at_least(f"{name}: int8 coverage", 100 * coverage.macs, 100.0, "%")
    agreement = compare(floats.proto, lowered.proto, bench.test).agreement
    report.at_least(f"{name}: int8 agrees with float", 100 * agreement, 99.0, "%")
    one = np.zeros(SHAPE, np.float32)
    sessions = {"fp32": open_session(floats.proto), "int8": open_session(lowered.proto)}
    runs = {key: partial(twenty, session, one) for key, session in sessions.items()}
    timings = interleave(runs, rounds=30, clock=time.process_time)
    print_timings(f"{name}: 20 pictures, one by one", timings, "fp32")
    ratio = timings["fp32"].median_s / timings["int8"].median_s
    if name == "teacher":
        report.at_least(f"{name}: int8 over fp32, one thread", ratio, SPEED_BAR)
    else:
        print(f"  {name}: {ratio:.2f}x")


def twenty(session: Any, picture: Any) -> None:
    for _ in range(20):
        session.run(None, {"x": picture})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    place = os.environ.get("DEEPSEEK_DATA")
    parser.add_argument("--data", type=Path, default=Path(place) if place else None)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", choices=range(1, 11))
    parser.add_argument("--kept", type=Path, help="where trainings are kept")
    parser.add_argument("--quick", action="store_true", help="few pictures; bars do not count")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data FOLDER, or set $DEEPSEEK_DATA")
    pin()
    sys.path.insert(0, str(EXAMPLE))
    used = versions(["torch", "onnx", "onnxruntime", "numpy"])
    print_head("Quantization", used)
    report, start_s = Report(versions=used), time.process_time()
    with TemporaryDirectory(prefix="deepseek-quantization-") as folder:
        kept, found = arguments.kept or Path(folder), []
        for seed in range(arguments.seeds):
            bench = Bench(arguments, kept, seed)
            student = bench.student()
            found.append(bits_rows(bench, student))
        add_claims(report, found)
        files_agree(bench, student, report)
        speed(bench, bench.teacher, "teacher", report)
        speed(bench, student, "student", report)
    print(f"\n{(time.process_time() - start_s) / 60:.1f} CPU minutes")
    code = report.finish(arguments.json)
    return 0 if arguments.quick else code


if __name__ == "__main__":
    sys.exit(main())
