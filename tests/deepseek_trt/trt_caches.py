"""Builds by the fake, whose builder calls are counted, for tests of caching."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from trt_models import one

from deepseek_trt.backends.fake import SCRIPT
from deepseek_trt.building.build import build
from deepseek_trt.cache.engines import EngineCache
from deepseek_trt.options import BuildOptions

MODEL = one("Relu")
OPTIONS = BuildOptions(targets="8.6")


class Fakes:
    """A cache, and how often the fake was asked to build."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.cache = EngineCache(folder / "cache")
        self.calls_file = folder / "calls"
        self.script = folder / "script.json"
        monkeypatch.setenv(SCRIPT, str(self.script))
        self.says()

    def says(self, **given: object) -> None:
        """What the fake does from now on."""
        self.script.write_text(json.dumps({"calls": str(self.calls_file), **given}))

    @property
    def calls(self) -> int:
        return len(self.calls_file.read_text().split()) if self.calls_file.exists() else 0

    def build(self, model=MODEL, options=OPTIONS, **given):
        return build(model, options, backend="fake", cache=self.cache, **given)

    def files(self) -> list[str]:
        return sorted(p.name for p in self.cache.folder.iterdir())

    def process(self, code: str, **environment: str) -> subprocess.Popen:
        """A second process that builds: `fakes` stands for its build."""
        model = self.script.with_name("model.onnx")
        model.write_bytes(MODEL.SerializeToString())
        text = textwrap.dedent(f"""
            from pathlib import Path
            from deepseek_trt import BuildOptions, EngineCache, build
            def made(**given):
                return build({str(model)!r}, BuildOptions(targets="8.6", **given),
                    backend="fake", cache=EngineCache(Path({str(self.cache.folder)!r})))
        """) + textwrap.dedent(code)
        return subprocess.Popen(
            [sys.executable, "-c", text],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
