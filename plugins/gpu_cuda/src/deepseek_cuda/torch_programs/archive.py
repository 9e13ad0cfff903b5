"""A `.pt2` file taken apart without torch, and put together again without what is not needed.

torch.export.save writes a zip of plain files: a program as JSON, tensors as raw bytes, and the
example inputs as a pickle. The pickle, compiled code and anything else is left out; a tensor
that is pickled, or an object of a class of somebody's, is refused.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from hashlib import sha256
from typing import Any, Final

import attrs

from deepseek_core import Artifact, errors
from deepseek_cuda.torch_programs.vetting import expression, refuse, vetted, word

_PROGRAM: Final = "models/model.json"
_CONFIGS: Final = {
    "weights": "data/weights/model_weights_config.json",
    "constants": "data/constants/model_constants_config.json",
}
_SAMPLES: Final = "data/sample_inputs/model.pt"
_SCHEMA: Final = 8
_LARGEST_TEXT: Final = 512 << 20


@attrs.frozen(kw_only=True)
class Archive:
    """A program whose every word was read, as JSON.

    `tensors` by their file's name, empty where only `nbytes`, their bytes in all, were wanted.
    `identity` is a digest of names, sizes and checksums of all entries.
    """

    program: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    tensors: dict[str, bytes] = attrs.field(repr=False)
    nbytes: int
    identity: str


def read_archive(artifact: Artifact, *, tensors: bool = True) -> Archive:
    """Take a file apart; without its `tensors` where only their sizes are wanted.

    Raises:
        ArtifactError: it is damaged, no such file, or says what no program needs.
    """
    source: Any = artifact.path if artifact.path is not None else io.BytesIO(artifact.read())
    try:
        with zipfile.ZipFile(source) as file:
            return _read(file, tensors)
    except OSError as error:
        where = error.filename or artifact.path
        raise errors.ArtifactError(
            f"{where}: {error.strerror or error}", remedy="check the path"
        ) from error
    except errors.ArtifactError as error:
        where = artifact.path or "the program"
        raise errors.ArtifactError(f"{where}: {error.message}", remedy=error.remedy) from error
    except (
        zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, EOFError,
        RuntimeError, IndexError, OverflowError, struct.error,
    ) as error:  # fmt: skip
        where = artifact.path or "the program"
        told = f"{where} is not a whole file of torch.export.save: {error!r}"
        raise errors.ArtifactError(
            told, remedy="export it again, with torch 2.9 or newer"
        ) from error


def _read(file: zipfile.ZipFile, tensors: bool) -> Archive:
    entries = _entries(file)
    if _text(file, entries, "archive_format").strip() != "pt2":
        raise refuse("it is not an archive of torch.export.save")
    if _text(file, entries, "byteorder") != "little":
        raise refuse("its numbers are not little-endian")
    if any(name.startswith("data/aotinductor/") for name in entries):
        raise refuse("it holds compiled code (AOTInductor)")
    names = [name for name in entries if name.startswith("models/")]
    if names != [_PROGRAM]:
        raise refuse(f"it holds the programs {names}, not one that is called model")
    program = _program(json.loads(_text(file, entries, _PROGRAM)))
    configs: dict[str, dict[str, Any]] = {}
    wanted: dict[str, zipfile.ZipInfo] = {}
    for kind, config in _CONFIGS.items():
        told = vetted(json.loads(_text(file, entries, config)))
        for name, row in told["config"].items():
            where = f"data/{kind}/{row['path_name']}"
            _check_tensor(name, row, kind)
            wanted[where] = entries[where]
            # torch makes zeros of any size out of an empty file.
            if not entries[where].file_size and all(
                s["as_int"] for s in row["tensor_meta"]["sizes"]
            ):
                raise refuse(f"{name!r} has no bytes")
        configs[config] = told
    return Archive(
        program=program,
        configs=configs,
        tensors={name: file.read(info) for name, info in wanted.items()} if tensors else {},
        nbytes=sum(info.file_size for info in wanted.values()),
        identity=_identity(file),
    )


def _identity(file: zipfile.ZipFile) -> str:
    rows = [(info.filename, info.file_size, info.CRC) for info in file.infolist()]
    return f"pt2:{sha256(repr(rows).encode()).hexdigest()}"


def _entries(file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """By name without the folder that holds all; nothing is compressed, so nothing swells."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        name = info.filename.partition("/")[2]
        if info.compress_type != zipfile.ZIP_STORED or name in found:
            raise refuse(f"its entry {info.filename[:80]!r} is packed, or there twice")
        found[name] = info
    return found


def _text(file: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> str:
    if name not in entries:
        raise refuse(f"it has no {name}: it is of an older torch, or no program")
    if entries[name].file_size > _LARGEST_TEXT:
        raise refuse(f"its {name} is too large")
    return file.read(entries[name]).decode()


def _check_tensor(name: str, row: dict[str, Any], kind: str) -> None:
    """Raw bytes, and no object."""
    path = word(row["path_name"])
    prefix = "weight_" if kind == "weights" else "tensor_"
    if row["use_pickle"] is not False or not path.startswith(prefix) or "/" in path:
        raise refuse(f"{name!r} is a pickled object, which could run anything when it is read")


def _program(given: dict[str, Any]) -> dict[str, Any]:
    major = given["schema_version"]["major"]
    if major != _SCHEMA:
        raise refuse(f"its schema is {major}, and {_SCHEMA} is read here")
    for text in given["range_constraints"]:
        expression(text)
    ranges = vetted(list(given["range_constraints"].values()))
    rest = {name: value for name, value in given.items() if name != "range_constraints"}
    # Only the outermost call is a call of ours.
    module = dict(rest["graph_module"])
    module["module_call_graph"] = module["module_call_graph"][:1]
    if module.get("treespec_namedtuple_fields"):
        raise refuse("inputs or outputs in a named tuple", change="use a plain tuple or a dict")
    if module["graph"].get("custom_obj_values"):
        raise refuse("it holds objects of a class of its own", change="give them as tensors")
    made: dict[str, Any] = vetted({**rest, "graph_module": module})
    made["range_constraints"] = dict(zip(given["range_constraints"], ranges, strict=True))
    return made


def rewritten(archive: Archive) -> io.BytesIO:
    """A file for `torch.export.load` that holds what was read here and no pickle of the file's.

    Devices are the host's: where it runs is decided after it was loaded.
    """
    texts = {
        "archive_format": "pt2",
        "archive_version": "0",
        "byteorder": "little",
        ".data/version": "6\n",
        _PROGRAM: json.dumps(_on_host(archive.program)),
        **{name: json.dumps(_on_host(config)) for name, config in archive.configs.items()},
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        for name, text in texts.items():
            file.writestr(f"model/{name}", text)
        file.writestr(f"model/{_SAMPLES}", b"")
        for name, content in archive.tensors.items():
            file.writestr(f"model/{name}", content)
    made.seek(0)
    return made


def _on_host(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"type", "index"}:
            return {"type": "cpu", "index": None}
        return {name: _on_host(item) for name, item in value.items()}
    return [_on_host(item) for item in value] if isinstance(value, list) else value
