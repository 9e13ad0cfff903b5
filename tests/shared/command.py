"""`ds-sdk` in a process of its own, as a user starts it."""

import os
import subprocess
import sys

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
