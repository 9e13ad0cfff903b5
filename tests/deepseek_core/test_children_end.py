"""Nobody waits for a child's end without limit, whatever it or a driver does."""

import contextlib
import os
import signal
import time

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery import isolated
from deepseek_core.discovery.isolated import Children
from deepseek_core.discovery.switches import Switches
from deepseek_core.testing import facts

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

LEAVES_A_CHILD = """
import pathlib, subprocess, sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(__file__).with_name("grandchild").write_text(str(child.pid))
"""


@pytest.fixture
def deathless(monkeypatch):
    """Signals end nobody, as they end no process that a driver's call holds in the kernel."""
    spared = []
    monkeypatch.setattr(isolated, "_DYING_S", 0.3)
    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", lambda group, _signal: spared.append(group))
        yield spared
    for group in spared:
        os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # collected already
            os.waitpid(group, 0)


def test_a_child_that_no_signal_ends_is_not_waited_for(deathless, tmp_path, monkeypatch):
    probe = "import time\ndef probe():\n    time.sleep(60)\n"
    monkeypatch.syspath_prepend(str(zoo.install(tmp_path, "stuck", probe=probe)))
    outcome = Children(Switches(), timeout_s=1.0).ask(
        "probe", locator="zoo_stuck.device:probe", settings={}
    )
    assert outcome.code is None
    (child,) = deathless
    os.kill(child, 0)  # it is there still


def test_what_a_listing_leaves_behind_does_not_hold_it_up(tmp_path, monkeypatch):
    """It has the standard output, too: whoever reads that to its end waits for all of them."""
    monkeypatch.setattr(facts, "_LIMIT_S", 30.0)
    monkeypatch.syspath_prepend(
        str(zoo.install(tmp_path, "leaves", hooks=LEAVES_A_CHILD + zoo.HOOKS))
    )
    start_s = time.monotonic()
    found = facts.facts_of.__wrapped__("leaves")
    assert time.monotonic() - start_s < 30
    assert found.loads, found.why
    pid = int((tmp_path / "zoo_leaves" / "grandchild").read_text())
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(pid, 0)
            time.sleep(0.1)
