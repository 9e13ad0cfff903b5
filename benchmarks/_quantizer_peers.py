"""Quantizers of today: each makes an int8 file of a float ONNX file, as its own pages say.

    python benchmarks/_quantizer_peers.py NAME FLOAT.onnx SAMPLES.npz INT8.onnx

runs one alone, since some patch torch or ONNX Runtime, and prints what it took as JSON. Samples
are arrays by input name, whose first axis counts them; the tools get them one by one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # which it looks at when it is imported

Samples = Mapping[str, Any]
Make = Callable[[Path, Samples, Path], None]


@dataclass(frozen=True)
class Peer:
    """A tool in one setting.

    `module` is what must be there to run it, `package` the distribution, `install` what gets it.
    """

    make: Make
    module: str
    package: str
    install: str


def singles(samples: Samples) -> Iterator[dict[str, Any]]:
    """The inputs of one call each."""
    count = len(next(iter(samples.values())))
    return ({name: array[i : i + 1] for name, array in samples.items()} for i in range(count))


class Reader:
    """What onnxruntime.quantization and its relatives call a CalibrationDataReader."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.rewind()

    def get_next(self) -> dict[str, Any] | None:
        """The next call's inputs; None at the end."""
        return next(self.left, None)

    def rewind(self) -> None:
        """Begin anew."""
        self.left = singles(self.samples)


def ours(source: Path, samples: Samples, made: Path, **options: Any) -> None:
    """The step `ort_x86` with what it does unasked, or with `options`."""
    from deepseek_compress.samples.arrays import ArraySamples
    from deepseek_compress.steps.lower import LowerForOnnxRuntime
    from deepseek_core import Artifact, compression

    with tempfile.TemporaryDirectory() as folder:
        context = compression.StepContext(
            workspace=Path(folder),
            inputs={name: (1, *array.shape[1:]) for name, array in samples.items()},
            calibration=ArraySamples(inputs=samples),
        )
        step, floats = LowerForOnnxRuntime(**options), Artifact.from_path(source)
        result = step.apply(floats, step.plan(floats, context), context)
    made.write_bytes(result.model.read())


def ours_near(source: Path, samples: Samples, made: Path) -> None:
    """Layers stay float until outputs are within 10 % on samples that ranges are not read off."""
    ours(source, samples, made, max_error=0.1)


def ort_defaults(source: Path, samples: Samples, made: Path) -> None:
    """onnxruntime.quantization as it comes: int8 activations, a scale a tensor."""
    import_module("onnxruntime.quantization").quantize_static(source, made, Reader(samples))


def ort_x86(source: Path, samples: Samples, made: Path) -> None:
    """As its pages advise for x86 with VNNI: preprocessed, uint8 by int8, scales by channel."""
    theirs = import_module("onnxruntime.quantization")
    quant_pre_process = import_module("onnxruntime.quantization.shape_inference").quant_pre_process
    prepared = made.with_name("prepared.onnx")
    try:
        quant_pre_process(source, prepared)
    except Exception:  # noqa: BLE001  it names a step that fails, and says to skip that one
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
    theirs.quantize_static(
        prepared,
        made,
        Reader(samples),
        quant_format=theirs.QuantFormat.QDQ,
        activation_type=theirs.QuantType.QUInt8,
        weight_type=theirs.QuantType.QInt8,
        per_channel=True,
        reduce_range=False,
    )


def nncf(source: Path, samples: Samples, made: Path, *, mixed: bool = False) -> None:
    """nncf.quantize with its fast bias correction; `mixed`: asymmetric activations, no half range.

    The second is what its pages advise for accuracy on a CPU with VNNI.
    """
    import nncf as tool
    import onnx

    count = len(next(iter(samples.values())))
    options: dict[str, Any] = {"subset_size": count}
    if mixed:
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
        )

        options["preset"] = tool.QuantizationPreset.MIXED
        options["advanced_parameters"] = AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE
        )
    found = tool.quantize(onnx.load(source), tool.Dataset(list(singles(samples))), **options)
    onnx.save(found, made)


def nncf_mixed(source: Path, samples: Samples, made: Path) -> None:
    """See `nncf`."""
    nncf(source, samples, made, mixed=True)


def inc(source: Path, samples: Samples, made: Path) -> None:
    """Intel Neural Compressor for ONNX: uint8 by int8, scales by channel, QDQ."""
    from onnx_neural_compressor import data_reader
    from onnx_neural_compressor.quantization import QuantType, config, quantize

    formats = import_module("onnxruntime.quantization").QuantFormat

    class Given(Reader, data_reader.CalibrationDataReader):  # type: ignore[misc]
        """Theirs asks for a base class of its own."""

    settings = config.StaticQuantConfig(
        calibration_data_reader=Given(samples),
        quant_format=formats.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=False,
    )
    quantize(str(source), str(made), settings)


def neural_compressor(source: Path, samples: Samples, made: Path) -> None:
    """Neural Compressor 2, which most pages still speak of, for one file of QDQ.

    A range of exactly 255, as of pixels, has a scale of 1, and it takes that for a constant: its
    zero point is then 0, and the error of EfficientNet-Lite0 75 %. Samples are a little larger
    here, so that it is judged by the rest.
    """
    from neural_compressor import PostTrainingQuantConfig, quantization

    count = len(next(iter(samples.values())))

    class Loader:
        """Batches of one, with a label that nobody looks at."""

        batch_size = 1

        def __iter__(self) -> Iterator[Any]:
            larger = {name: array * array.dtype.type(1.0001) for name, array in samples.items()}
            return ((inputs, 0) for inputs in singles(larger))

    settings = PostTrainingQuantConfig(
        quant_format="QDQ", calibration_sampling_size=count, recipes={"reduce_range": False}
    )
    found = quantization.fit(str(source), settings, calib_dataloader=Loader())
    found.save(str(made))


def modelopt(source: Path, samples: Samples, made: Path) -> None:
    """NVIDIA ModelOpt: what it makes is for TensorRT, and runs anywhere; float32 around it."""
    from modelopt.onnx.quantization import quantize

    quantize(
        str(source),
        calibration_data=dict(samples),
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(made),
        log_level="ERROR",
    )


def quark(source: Path, samples: Samples, made: Path) -> None:
    """AMD Quark in the configuration that it has for x86, uint8 by int8, with scales by channel.

    By itself the configuration has one scale for all weights of a layer, which ruins depthwise
    convolutions.
    """
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import Config, get_default_config

    settings = get_default_config("U8S8_AAWS")
    settings.per_channel = True
    ModelQuantizer(Config(global_quant_config=settings)).quantize_model(
        str(source), str(made), Reader(samples)
    )


def olive(source: Path, samples: Samples, made: Path) -> None:
    """Olive's pass for static quantization, uint8 by int8 with scales by channel."""
    from olive.data.config import DataComponentConfig, DataConfig
    from olive.data.registry import Registry
    from olive.hardware import DEFAULT_CPU_ACCELERATOR
    from olive.model import ONNXModelHandler
    from olive.passes.olive_pass import create_pass_from_dict
    from olive.passes.onnx.quantization import OnnxStaticQuantization

    @Registry.register_dataset(name="bench_samples")
    def bench_samples(**_: Any) -> list[tuple[dict[str, Any], int]]:
        return [({n: a[0] for n, a in inputs.items()}, 0) for inputs in singles(samples)]

    data = DataConfig(
        name="bench", type="DataContainer",
        load_dataset_config=DataComponentConfig(type="bench_samples"),
    )  # fmt: skip
    options = {"data_config": data, "activation_type": "uint8", "precision": "int8",
               "per_channel": True, "quant_format": "QDQ"}  # fmt: skip
    work = create_pass_from_dict(
        OnnxStaticQuantization, options, disable_search=True,
        accelerator_spec=DEFAULT_CPU_ACCELERATOR,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found = work.run(ONNXModelHandler(str(source)), str(Path(folder) / "int8.onnx"))
        shutil.copy(found.model_path, made)


def aimet(source: Path, samples: Samples, made: Path) -> None:
    """Qualcomm's AIMET: uint8 by int8, scales by channel, written as QDQ."""
    import onnx
    from aimet_onnx import QuantizationSimModel
    from aimet_onnx.common.quantsim_config.utils import get_path_for_per_channel_config

    simulated = QuantizationSimModel(
        onnx.load(source),
        config_file=get_path_for_per_channel_config(),
        providers=["CPUExecutionProvider"],
    )
    simulated.compute_encodings(list(singles(samples)))
    onnx.save(simulated.to_onnx_qdq(prequantize_constants=True), made)


PEERS: dict[str, Peer] = {
    "ours": Peer(ours, "deepseek_compress", "deepseek-compress", "./plugins/compress_torch"),
    "ours, max_error 0.1": Peer(
        ours_near, "deepseek_compress", "deepseek-compress", "./plugins/compress_torch"
    ),
    "onnxruntime, by its defaults": Peer(ort_defaults, "onnxruntime", "onnxruntime", "onnxruntime"),
    "onnxruntime, x86": Peer(ort_x86, "onnxruntime", "onnxruntime", "onnxruntime sympy"),
    "nncf": Peer(nncf, "nncf", "nncf", "nncf"),
    "nncf, mixed": Peer(nncf_mixed, "nncf", "nncf", "nncf"),
    "inc": Peer(
        inc, "onnx_neural_compressor", "onnx-neural-compressor",
        "onnx-neural-compressor prettytable scipy 'onnx<1.17' 'onnxruntime<1.19' 'numpy<2'",
    ),
    "neural-compressor": Peer(
        neural_compressor, "neural_compressor", "neural-compressor",
        "'neural-compressor<3' scipy six 'setuptools<81' 'onnx<1.17' 'onnxruntime<1.19' 'numpy<2'",
    ),
    "modelopt": Peer(modelopt, "modelopt.onnx", "nvidia-modelopt", "'nvidia-modelopt[onnx]'"),
    "quark": Peer(quark, "quark.onnx", "amd-quark", "amd-quark"),
    "aimet": Peer(aimet, "aimet_onnx", "aimet-onnx", "aimet-onnx"),
    "olive": Peer(olive, "olive", "olive-ai", "olive-ai"),
}  # fmt: skip


def main() -> int:
    """Make one file; say what it took."""
    name, source, samples, made = sys.argv[1], *map(Path, sys.argv[2:])
    from importlib import metadata

    import numpy as np

    with np.load(samples) as file:
        arrays = {key: file[key] for key in file.files}
    start_s, used_s = time.perf_counter(), time.process_time()
    PEERS[name].make(source, arrays, made)
    told = {
        "version": metadata.version(PEERS[name].package),
        "seconds": time.perf_counter() - start_s,
        "cpu_s": time.process_time() - used_s,
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
