"""The commands of a plugin's group (`ds-sdk store`, `trt`, `fpga` ...) and their own help."""

from __future__ import annotations

from collections.abc import Iterable

import command_line

from deepseek_apps.cli.main import STEPS as APP
from deepseek_compress.cli.main import COMMANDS as COMPRESS
from deepseek_fpga.cli.main import COMMANDS as FPGA
from deepseek_parallel.ckpt_cli.main import COMMANDS as CKPT
from deepseek_parallel.cli.main import COMMANDS as TRAIN
from deepseek_store.cli.main import COMMANDS as STORE
from deepseek_trt.cli.main import COMMANDS as TRT


def store() -> str:
    """Of a store."""
    return _page("store", STORE)


def compress() -> str:
    """Of compression."""
    return _page("compress", COMPRESS)


def trt() -> str:
    """Of TensorRT."""
    return _page("trt", TRT)


def fpga() -> str:
    """Of kernels for FPGAs."""
    return _page("fpga", FPGA)


def train() -> str:
    """Of training on several processes."""
    return _page("train", TRAIN)


def ckpt() -> str:
    """Of checkpoints of a training."""
    return _page("ckpt", CKPT)


def app() -> str:
    """Of applications, as those of one."""
    parts = [f"## ds-sdk app\n\n{_fenced(command_line.help_of('app'))}"]
    parts.append(f"## app list\n\n{_fenced(command_line.help_of('app', 'list'))}")
    for name in APP:
        told = command_line.help_of("app", "ctr", name)
        parts.append(f"## app {name}\n\n{_fenced(told)}")
    return "\n\n".join(parts)


def _page(group: str, commands: Iterable[str]) -> str:
    """The help of the group, then that of each command."""
    parts = [f"## ds-sdk {group}", _fenced(command_line.help_of(group))]
    for name in commands:
        parts += [f"## {group} {name}", _fenced(command_line.help_of(group, name))]
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
