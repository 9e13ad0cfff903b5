"""`ds-sdk` in a process of its own, as a user starts it, or in this one."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
from unittest import mock

from deepseek_core.cli.main import main

LIMIT_S = 300
_START = "import sys\nfrom deepseek_core.__main__ import main\nsys.exit(main())"


def ds_sdk(folder, *words, before="", site=()):
    """What `ds-sdk WORDS` did in that folder, which keeps its cache.

    `before` is Python that makes the machine another one; `site` are folders of more plugins.
    """
    path = os.pathsep.join([*map(str, site), *filter(None, sys.path)])
    own = {"DEEPSEEK_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{_START}", *words],
        cwd=folder, env=os.environ | own, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip


def ds_sdk_here(folder, *words, site=()):
    """The same in this process: enough for what a command says, and far cheaper with torch."""
    out, err = io.StringIO(), io.StringIO()
    importlib.invalidate_caches()  # of files that were written a moment ago
    with (
        mock.patch.dict(os.environ, {"DEEPSEEK_CACHE_DIR": str(folder / "cache")}),
        mock.patch.object(sys, "path", [*map(str, site), *sys.path]),
        contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        code = main([str(word) for word in words])
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
