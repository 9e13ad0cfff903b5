"""Python objects that a recipe or a command line names: `package.module:name`, `file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from deepseek_core.contracts.errors import ConfigError


def load_entry(text: str, folder: Path, *, where: str) -> Any:
    """The object that `text` names; files are looked for below `folder`.

    Modules are found as Python finds them, and in `folder` itself.

    Raises:
        ConfigError: no such file, module or name (the nearest name is told), or the module
            raises while it is imported.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise ConfigError(
            f"{where} is {text!r}",
            remedy='write it as "package.module:function", or as "file.py:function"',
        )
    module = _file(folder / place, where) if place.endswith(".py") else _named(place, folder, where)
    try:
        return getattr(module, name)
    except AttributeError as error:
        close = get_close_matches(name, dir(module), n=1)
        raise ConfigError(
            f"{where}: {place} has no {name!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"define {name} in {place}",
        ) from error


def _file(path: Path, where: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{where}: no such file: {path}", remedy="check the path")
    _beside(path.parent)
    if _is_found_by_name(path):
        return _imported(path.stem, str(path), where)
    # By its path, so that two files of one name are two modules, and one file is one.
    name = f"_recipe_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{where}: {path} can't be imported", remedy="check the file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _failed(where, str(path), error) from error
    return module


def _is_found_by_name(path: Path) -> bool:
    """Whether `import NAME` finds this file: only then do worker processes find it, too."""
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return False
    origin = None if spec is None else spec.origin  # of what is built in, no file
    return origin is not None and Path(origin).is_file() and path.samefile(origin)


def _named(name: str, folder: Path, where: str) -> ModuleType:
    _beside(folder)
    return _imported(name, name, where)


def _imported(name: str, called: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _failed(where, called, error) from error


def _beside(folder: Path) -> None:
    """Let files of a folder import their neighbors, after all that is installed."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)


def _failed(where: str, name: str, error: BaseException) -> ConfigError:
    kind = type(error).__name__
    return ConfigError(f"{where}: {name} can't be imported: {kind}: {error}", remedy=_remedy(error))


def _remedy(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "move what a script does under: if __name__ == '__main__':"
    if "attempted relative import" in str(error):
        return 'name it as a module of its package: "package.module:function"'
    return "correct it, or install what it imports"
