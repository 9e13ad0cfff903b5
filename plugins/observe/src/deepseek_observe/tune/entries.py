"""Python objects that a target names: `package.module:name`, or `file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from deepseek_core import errors


def load_entry(text: str, folder: Path, where: str) -> Any:
    """The object that `text` names; files are looked for below `folder`.

    Raises:
        ConfigError: no such file, module or name, or it raises while it is imported.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise errors.ConfigError(
            f"{where} is {text!r}",
            remedy='write it as "train.py:build", or as "package.module:build"',
        )
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # so that files import their neighbors
    try:
        module = _file(folder / place, where) if place.endswith(".py") else _module(place)
    except errors.DeepSeekError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code may raise
        raise _failed(where, place, error) from error
    if not hasattr(module, name):
        close = get_close_matches(name, dir(module), n=1)
        raise errors.ConfigError(
            f"{where}: {place} has no {name!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"define {name} in {place}",
        )
    return getattr(module, name)


def _file(path: Path, where: str) -> ModuleType:
    if not path.is_file():
        raise errors.ConfigError(f"{where}: no such file: {path}", remedy="correct the path")
    # By its path: two files of one name are two modules.
    name = f"_tuned_{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _failed(where: str, name: str, error: BaseException) -> errors.ConfigError:
    remedy = "correct it, or install what it imports"
    if isinstance(error, SystemExit):
        remedy = "move what a script does under: if __name__ == '__main__':"
    return errors.ConfigError(
        f"{where}: {name} can't be imported: {type(error).__name__}: {error}", remedy=remedy
    )
