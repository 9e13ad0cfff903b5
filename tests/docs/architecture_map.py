"""Writes the maps of ARCHITECTURE.md: one line a file, the first sentence of its docstring.

python tests/docs/architecture_map.py
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "ARCHITECTURE.md"
SOURCES = {
    "deepseek_core": ROOT / "core/src/deepseek_core",
    "deepseek_store": ROOT / "plugins/store/src/deepseek_store",
}
_MAP = re.compile(r"(<!-- map of (\w+) -->\n).*?(<!-- end of map -->)", re.S)


def first_sentence(path):
    """The first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())


def map_of(folder):
    """A list for each package below a folder, files in the order of their names."""
    packages = sorted({path.parent for path in folder.rglob("*.py")})
    return "\n".join(_package(folder, package) for package in packages)


def _package(folder, package):
    name = package.relative_to(folder).as_posix()
    about = first_sentence(package / "__init__.py") if (package / "__init__.py").exists() else ""
    title = f"**`{name}/`**" if name != "." else f"**`{folder.name}`**"
    files = [path for path in sorted(package.glob("*.py")) if not path.name.startswith("__")]
    lines = [f"- `{path.name}`: {first_sentence(path)}" for path in files]
    return "\n".join([f"{title} {about}".rstrip(), "", *lines, ""])


def made(text):
    """The page with its maps made anew."""
    return _MAP.sub(lambda match: match[1] + "\n" + map_of(SOURCES[match[2]]) + match[3], text)


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))
