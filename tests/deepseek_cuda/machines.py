"""Machines with GPUs that are not here: a fake libnvidia-ml.so.1 and a fake ONNX Runtime build.

The library is C, compiled once, under the real nvidia-ml-py; what it tells stands in a file. The
build is a package whose provider library is compiled, too, so that the real loader judges it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GIB = 1 << 30
A100 = {
    "name": "NVIDIA A100-SXM4-80GB",
    "uuid": "GPU-a1000000-0000-0000-0000-000000000001",
    "bus": "00000000:07:00.0",
    "capability": "8.0",
    "mem": 80 * GIB,
    "used": 2 * GIB,
    "temperature": 41,
    "power": 62500,
    "busy": 37,
}
H100 = {
    **A100,
    "name": "NVIDIA H100 80GB HBM3",
    "uuid": "GPU-b1000000-0000-0000-0000-000000000002",
    "bus": "00000000:0B:00.0",
    "capability": "9.0",
}
T4 = {
    "name": "Tesla T4",
    "uuid": "GPU-c4000000-0000-0000-0000-000000000003",
    "bus": "00000000:48:00.0",
    "capability": "7.5",
    "mem": 16 * GIB,
}
V100 = {**T4, "name": "Tesla V100-PCIE-16GB", "uuid": "GPU-d1000000-0", "capability": "7.0"}
GB10 = {
    "name": "NVIDIA GB10",
    "uuid": "GPU-2dee1e25-b3b5-007e-2b55-79f2d0f2ebe5",
    "bus": "0000000F:01:00.0",
    "capability": "12.1",
    "temperature": 36,
    "busy": 0,
}
ORIN = {"name": "Orin (nvgpu)", "uuid": "GPU-0e0e0e0e-0", "capability": "8.7"}
SMALL = {"name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "uuid": "MIG-1a", "gi": 7, "mem": 10 * GIB}
LARGE = {"name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb", "uuid": "MIG-2b", "gi": 2, "mem": 40 * GIB}
LOST = 15
MIG_H100 = {**H100, "mig": 1, "instances": [LARGE, SMALL]}


def described(gpus=(), **machine) -> str:
    """The text that the fake library reads."""
    lines = [f"{word} {value}" for word, value in machine.items()]
    for gpu in gpus:
        lines += ["gpu", *(f"{word} {value}" for word, value in gpu.items() if word != "instances")]
        for instance in gpu.get("instances", ()):
            lines += ["instance", *(f"{word} {value}" for word, value in instance.items())]
    return "\n".join([*lines, ""])


def compiled(source: Path | str, library: Path, *more: str) -> Path:
    """A shared library of a C file or text; what asks for one is skipped without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler; apt-get install gcc")
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library)]
    text = source.read_text() if isinstance(source, Path) else source
    subprocess.run(
        [*command, "-x", "c", "-", "-x", "none", *more], input=text, text=True, check=True
    )
    return library


def make_library(folder: Path) -> Path:
    """A folder with libnvidia-ml.so.1."""
    folder.mkdir()
    compiled(HERE / "fake_nvml.c", folder / "libnvidia-ml.so.1", "-Wl,-soname,libnvidia-ml.so.1")
    return folder


def add_tensorrt(build: Path, *, lacks: str = "") -> None:
    """Give a build the TensorRT provider, and TensorRT 10.13.3 in the wheel that brings it."""
    wheel = build / "tensorrt_libs"
    wheel.mkdir()
    (wheel / "__init__.py").touch()
    part = wheel / "libnvinfer.so.10"
    source = "int getInferLibVersion(void) { return 101303; }"
    compiled(source, part, "-Wl,-soname,libnvinfer.so.10")
    provider = build / "onnxruntime/capi/libonnxruntime_providers_tensorrt.so"
    compiled("int trt;", provider, "-Wl,--no-as-needed", str(part))
    if lacks:
        part.unlink()


def make_build(folder: Path, cuda: str = "12.8", *, lacks: str = "", provider: bool = True) -> Path:
    """A folder on whose path `onnxruntime` is a build for this CUDA; `lacks` is a library."""
    capi = folder / "onnxruntime" / "capi"
    capi.mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text("__version__ = '1.99.0'\n")
    facts = f"package_name = 'onnxruntime-gpu'\n__version__ = '1.99.0'\ncuda_version = '{cuda}'\n"
    (capi / "build_and_package_info.py").write_text(facts)
    if not provider:
        return folder
    compiled("int shared;", capi / "libonnxruntime_providers_shared.so")
    more = []
    if lacks:
        gone = compiled("int gone;", folder / lacks, f"-Wl,-soname,{lacks}")
        more = ["-Wl,--no-as-needed", str(gone)]
    compiled("int cuda;", capi / "libonnxruntime_providers_cuda.so", *more)
    if lacks:
        gone.unlink()
    return folder


def environment(folder: Path, library: Path | None, build: Path | None, text: str, **more: str):
    """The environment of a process on such a machine."""
    told = folder / "nvml.txt"
    told.write_text(text)
    if library is None:  # the loader finds this one first, and can't use it
        library = folder / "no_driver"
        library.mkdir(exist_ok=True)
        (library / "libnvidia-ml.so.1").touch()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA_", "DEEPSEEK_"))}
    paths = [str(build)] if build else []
    return kept | {
        "FAKE_NVML": str(told),
        "LD_LIBRARY_PATH": str(library),
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "DEEPSEEK_PLUGINS": "gpu_cuda",
        "DEEPSEEK_CACHE_DIR": str(folder / "cache"),
        "DEEPSEEK_CONFIG": str(folder / "config.toml"),
        **more,
    }


def run(environment, *command: str, code: int = 0) -> str:
    """What `python COMMAND` prints."""
    done = subprocess.run(
        [sys.executable, *command],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def rows(environment) -> list[dict[str, object]]:
    """What the probe finds."""
    code = (
        "import json, attrs, deepseek_cuda.probe as p;"
        "print(json.dumps([attrs.asdict(row) for row in p.probe()]))"
    )
    return json.loads(run(environment, "-c", code).splitlines()[-1])
