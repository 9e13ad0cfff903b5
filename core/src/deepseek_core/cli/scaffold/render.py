"""From templates to files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from deepseek_core.cli.scaffold.kinds import Kind
from deepseek_core.cli.scaffold.names import Names

_SUFFIX: Final = ".tmpl"

# Where the files that all kinds have go; those of a kind go beside `__init__.py`.
_COMMON: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "ci.yml": ".github/workflows/ci.yml",
    "test_conformance.py": "tests/test_conformance.py",
    "__init__.py": "src/{package}/__init__.py",
}


def rendered(kind: Kind, names: Names) -> dict[str, str]:
    """Path below the plugin's folder -> text of each file, in the order of the paths."""
    package = names.name
    words = _words(kind, names)
    texts = {f"src/{package}/py.typed": ""}
    for name, template in _templates("common"):
        texts[_COMMON[name].format(package=package)] = template.substitute(words)
    for name, template in _templates(kind.name):
        texts[f"src/{package}/{name}"] = template.substitute(words)
    return dict(sorted(texts.items()))


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files; what else is in the folder stays."""
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _templates(folder: str) -> list[tuple[str, Template]]:
    root: Traversable = files(__package__) / "templates" / folder
    return [
        (item.name.removesuffix(_SUFFIX), Template(item.read_text(encoding="utf-8")))
        for item in sorted(root.iterdir(), key=lambda item: item.name)
        if item.name.endswith(_SUFFIX)
    ]


def _words(kind: Kind, names: Names) -> dict[str, str]:
    from json import dumps  # a JSON string is a TOML string

    core_range = _core_range()
    needs = (f"deepseek-core{core_range}", *kind.needs)
    words = {
        "author": dumps(names.author, ensure_ascii=False),
        "conformance": kind.conformance,
        "core_range": core_range,
        "dependencies": ", ".join(map(dumps, needs)),
        "dist": names.dist,
        "kind": kind.name.replace("-", " "),
        "module": kind.module,
        "name": names.name,
        "package": names.name,
        "summary": kind.summary,
        "word": names.word,
    }
    return words | {"usage": f"    {Template(kind.usage).substitute(words)}"}


def _core_range() -> str:
    """The versions of the core that a plugin made now should work with: this minor."""
    from deepseek_core.discovery.installed import core_version

    found = re.match(r"(\d+)\.(\d+)", core_version())
    major, minor = map(int, found.groups()) if found else (0, 1)  # a bare checkout
    return f">={major}.{minor},<{major}.{minor + 1}"
