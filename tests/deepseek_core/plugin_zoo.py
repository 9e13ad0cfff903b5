"""Plugins as installed distributions, well and ill: files on a path with hand-written metadata."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import deepseek_core

V1 = "deepseek_sdk.plugins.v1"
SOURCES = Path(deepseek_core.__file__).parents[1]

HOOKS = """
from deepseek_core import DeviceSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="{device}", kind="sim", factory="{module}.device:Device",
                       probe="{module}.device:probe")]
"""
OK_PROBE = """
from deepseek_core import DeviceInfo

def probe():
    return [DeviceInfo(id="{module}:0", kind="sim", name="one", evidence="model")]
"""


def install(
    folder, name, *, hooks=HOOKS, probe=OK_PROBE, dist=None, version="1.0.0", group=V1, **more
):
    """Put a distribution with one plugin into the folder; braces in the sources are filled in."""
    module, files = more.pop("module", f"zoo_{name}"), more.pop("files", {})
    dist = dist or f"zoo-{name.replace('_', '-')}"
    words = {"module": module, "device": more.pop("device", name), **more}
    package = folder / module
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "hooks.py").write_text(_filled(hooks, words))
    (package / "device.py").write_text(_filled(probe, words))
    for file, source in files.items():
        (package / file).write_text(_filled(source, words))
    describe(folder, dist, version, f"[{group}]\n{name} = {module}.hooks\n")
    return folder


def describe(folder, dist, version, entry_points):
    """Write the metadata of a distribution as an installer would."""
    info = folder / f"{dist.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    return info


def _filled(source, words):
    source = dedent(source)
    for key, value in words.items():
        source = source.replace("{" + key + "}", value)
    return source


RIVAL_COMMAND = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="contested_command", main="{module}.hooks:main", summary="does it")]
"""

# A plugin of which there is no more than its import: no process has to ask its device.
COMMAND_HOOKS = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    name = "{module}".replace("_", "-")
    return [CommandSpec(name=name, main="{module}.hooks:main", summary="does it")]
"""

BAD_HOOKS = {
    "broken_import": "import module_that_nobody_has\n",
    "system_exit": "raise SystemExit('no license')\n",
    "raising_import": "1 / 0\n",
    "mute_error": """
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no comment")

        raise Mute
        """,
    "no_hook": "def ds_register_devices(ctx):\n    return []\n",
    "bad_signature": """
        from deepseek_core import hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx, color):
            return []
        """,
    "default_argument": """
        from deepseek_core import hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx=None):
            return []
        """,
    "coroutine": """
        from deepseek_core import hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        async def devices(ctx):
            return []
        """,
    "misspelt": """
        import pluggy

        @pluggy.HookimplMarker("deepseek_sdk")
        def ds_register_device(ctx):
            return []
        """,
    "wrapper": """
        import pluggy

        @pluggy.HookimplMarker("deepseek_sdk")(wrapper=True)
        def ds_register_devices(ctx):
            return (yield)
        """,
    "wrong_record": """
        from deepseek_core import hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            return ["npu"]
        """,
    "returns_none": """
        from deepseek_core import hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            pass
        """,
    "late_generator": """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            yield DeviceSpec(name="early", kind="sim", factory="a.b:C", probe="a.b:d")
            raise RuntimeError("the second board is on fire")
        """,
    "endless": """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            while True:
                yield DeviceSpec(name="again", kind="sim", factory="a.b:C", probe="a.b:d")
        """,
    "bad_record_name": """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            return [DeviceSpec(name="My NPU", kind="sim", factory="a.b:C", probe="a.b:d")]
        """,
    "twice_itself": """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            return 2 * [DeviceSpec(name="npu", kind="sim", factory="a.b:C", probe="a.b:d")]
        """,
    "deletes_variable": "import os\ndel os.environ['PATH']\nos.environ['ZOO'] = '1'\n" + HOOKS,
    "patches_json": "import json\njson.dumps = lambda *a, **k: '{}'\n" + HOOKS,
    "patches_open": "import builtins\nbuiltins.open = None\n" + HOOKS,
    "forking_import": "import os\nos.fork()\n" + HOOKS,
    "future_minor": 'requires_api = "1.99"\n' + HOOKS,
    "bad_requires_api": "requires_api = 1\n" + HOOKS,
}

# What an import leaves behind in the process, and what its row says of it.
RESTORED = {
    "changes_folder": ("import os\nos.chdir('/')\n", "the working folder"),
    "changes_umask": ("import os\nos.umask(0)\n", "the umask"),
    "ignores_ctrl_c": (
        "import signal as s\ns.signal(s.SIGINT, s.SIG_IGN)\ns.signal(s.SIGTERM, print)\n",
        "the handling of SIGINT and SIGTERM",
    ),
    "blocks_signals": (
        "import signal as s\ns.pthread_sigmask(s.SIG_BLOCK, [s.SIGUSR1])\n",
        "blocked signals",
    ),
    "closes_stderr": ("import os\nos.close(2)\n", "standard descriptors"),
    "changes_argv": ("import sys\nsys.argv.append('--no')\n", "sys.argv"),
    "path_first": ("import sys\nsys.path.insert(0, '/nowhere')\n", "sys.path"),
    "finder_first": ("import sys\nsys.meta_path.insert(0, object())\n", "sys.meta_path"),
    "path_hook": ("import sys\nsys.path_hooks.clear()\n", "sys.path_hooks"),
    "replaces_stdout": (
        "import io, sys\nsys.stdout = io.StringIO()\nsys.excepthook = sys.displayhook = print\n",
        "sys.stdout, sys.displayhook and sys.excepthook",
    ),
    "replaces_stderr": ("import sys\nsys.stderr = None\n", "sys.stderr"),
    "unraisable": ("import sys\nsys.unraisablehook = print\n", "sys.unraisablehook"),
    "thread_hook": ("import threading\nthreading.excepthook = print\n", "threading hooks"),
    "traces": ("import sys\nsys.setprofile(lambda *_: None)\n", "tracing"),
    "deep": ("import sys\nsys.setrecursionlimit(10**6)\n", "the recursion limit"),
    "switches": ("import sys\nsys.setswitchinterval(1.0)\n", "the switch interval"),
    "digits": ("import sys\nsys.set_int_max_str_digits(0)\n", "the digits limit"),
    "no_collector": ("import gc\ngc.disable()\n", "the garbage collector"),
    "crash_reports": ("import faulthandler\nfaulthandler.enable()\n", "faulthandler"),
    "speaks_c": ("import locale\nlocale.setlocale(locale.LC_ALL, 'C')\n", "the locale"),
    "logs_all": (
        "import logging\nlogging.basicConfig(level=1)\nlogging.disable(50)\n",
        "the root logger",
    ),
    "sockets_wait": (
        "import socket\nsocket.setdefaulttimeout(1)\n",
        "the time-out of sockets",
    ),
    "few_digits": ("import decimal\ndecimal.getcontext().prec = 3\n", "the decimal context"),
    "spawns": (
        "import multiprocessing as m\nm.set_start_method('spawn')\n",
        "the start method of processes",
    ),
    "one_core": (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n",
        "the CPU affinity",
    ),
    "sets_policy": (  # as uvloop.install
        "import asyncio as a\na.set_event_loop_policy(a.DefaultEventLoopPolicy())\n",
        "the asyncio policy",
    ),
    "hides_warnings": (
        "import warnings\nwarnings.showwarning = lambda *a, **k: None\n",
        "the printing of warnings",
    ),
    "logs_warnings": (
        "import logging\nlogging.captureWarnings(True)\n",
        "the printing of warnings",
    ),
    "logger_class": (  # as better_exceptions
        "import logging\nlogging.setLoggerClass(type('L', (logging.Logger,), {}))\n",
        "the root logger",
    ),
    "loses_errors": (
        "import codecs\ncodecs.register_error('strict', codecs.ignore_errors)\n",
        "the handling of text errors",
    ),
    "writes_ascii": (
        "import sys\nsys.__stderr__.reconfigure(encoding='ascii', errors='strict')\n",
        "the streams",
    ),
    "short_traces": (
        "import sys\nsys.tracebacklimit = 0\nsys.executable = '/nowhere'\n",
        "sys.executable and sys.tracebacklimit",
    ),
    "small_stacks": (
        "import threading\nthreading.stack_size(1 << 16)\n",
        "the stack size of threads",
    ),
    "sets_timer": (
        "import signal as s\ns.setitimer(s.ITIMER_PROF, 1000)\n",
        "timers",
    ),
    "few_files": (
        "import resource as r\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (200, r.getrlimit(r.RLIMIT_NOFILE)[1]))\n",
        "the limit of open files",
    ),
    "blocks_module": (
        "import sys\nsys.modules['acme_never'] = None\n",
        "which modules are blocked (acme_never)",
    ),
    "numpy_raises": (
        "import numpy\nnumpy.seterr(all='raise')\n",
        "numpy's handling of errors",
    ),
    "no_warnings": ("import warnings\nwarnings.simplefilter('ignore')\n", "warning filters"),
    "seeds": ("import random\nrandom.seed(0)\n", "random numbers"),
    "seeds_numpy": ("import numpy\nnumpy.random.seed(0)\n", "numpy's random numbers"),
}
LEFT = {
    "path_last": (
        "import sys\nsys.path.append('/nowhere')\n",
        "/nowhere at the end of sys.path",
    ),
    "leaves_thread": (
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(600,), name="poll", daemon=True).start()
        """,
        "the thread 'poll'",
    ),
    "adds_builtin": (  # as gettext.install and icecream.install
        "import builtins\nbuiltins.zoo_word = 1\n",
        "zoo_word in builtins",
    ),
    "leaves_file": ("import os\nos.open('/dev/null', 0)\n", "the open file /dev/null"),
    "leaves_process": (
        "import os\nos.posix_spawn('/bin/sleep', ['sleep', '5'], os.environ)\n",
        "the process ",
    ),
}
# What prints after the answer, or amid it: Python's `print`, and below it.
LATE = {
    "speaks_at_exit": """
        import atexit, os
        atexit.register(print, "goodbye")
        atexit.register(os.write, 1, b"goodbye from below")
        """,
    "speaks_meanwhile": """
        import os, threading, time

        def speak():
            for _ in range(200):
                os.write(1, b"still here")
                time.sleep(0.01)
            print("and now not any more")

        threading.Thread(target=speak).start()
        """,
}
# Parts of the standard library that it replaces, and what its row says of that.
REPLACED = {
    "own_sockets": (  # as PySocks, gevent, eventlet
        "import socket\nclass S(socket.socket): __module__ = 'acme'\nsocket.socket = S\n",
        "socket.socket",
    ),
    "own_names": (
        "import socket\nsocket.getaddrinfo = lambda *a, **k: []\n",
        "socket.getaddrinfo",
    ),
    "no_certificates": (
        "import ssl\nssl._create_default_https_context = ssl._create_unverified_context\n",
        "ssl._create_default_https_context",
    ),
    "own_tls": (  # as truststore.inject_into_ssl
        "import ssl\nclass C(ssl.SSLContext): __module__ = 'acme'\nssl.SSLContext = C\n",
        "ssl.SSLContext",
    ),
    "own_processes": (
        "import subprocess as s\nclass P(s.Popen): __module__ = 'acme'\ns.Popen = P\n",
        "subprocess.Popen",
    ),
    "own_loop": ("import asyncio\nasyncio.run = print\n", "asyncio.run"),  # as nest_asyncio
    "own_pickle": ("import pickle\npickle.loads = eval\n", "pickle.loads"),
    "own_api": (
        "import deepseek_core\nfrom deepseek_core import Device\ndeepseek_core.Device = 1\n",
        "deepseek_core.Device",
    ),
}
HOOKS_AFTER = {name: dedent(source) + HOOKS for name, (source, _) in (RESTORED | LEFT).items()}
HOOKS_LATE = {name: dedent(source) + HOOKS for name, source in LATE.items()}

# Prints in Python and below it whenever anything is asked of it; runs what hands its input on.
CHATTY_HOOKS = (
    """
from deepseek_core import hookimpl, hooks
from {module}.device import say
"""
    + HOOKS
    + """
@hookimpl(hooks.ds_on_event)
def on_event(event):
    say("an event")
"""
)
CHATTY_DEVICE = """
import os, sys
from deepseek_core import Device, DeviceInfo, Estimate, Executable, Support

def say(what):
    print("{not json", what)
    sys.stdout.buffer.write(b"{nor this")
    sys.stdout.flush()
    os.write(1, b"from below")
    os.system("echo from a child")

def probe():
    say("probe")
    return [DeviceInfo(id="{device}:0", kind="sim", name="chatty", evidence="model")]

class Device(Device):
    def __init__(self, device_id, options):
        (self.info,) = probe()

    def supports(self, operation):
        say("supports")
        is_mine = operation.name in ("MatMul", "Gemm", "Double")
        return Support.yes() if is_mine else Support.no("talks only")

    def estimate(self, task):
        say("estimate")
        return Estimate(seconds=1.0, sigma=0.1, source="model")

    def load(self, stage, options):
        say("load")
        return Talker(stage)

    def to_host(self, value):
        return value

    def close(self):
        say("close")

class Talker(Executable):
    def __init__(self, stage):
        self.stage, self.device_id = stage, "{device}:0"

    def run(self, inputs):
        say("run")
        (value,), (spec,) = inputs.values(), self.stage.outputs
        return {spec.name: value.copy()}

    def close(self):
        say("free")
"""


def install_chatty(folder):
    """A plugin with a device that prints at each call, and a listener that does."""
    return install(folder, "chatty", hooks=CHATTY_HOOKS, probe=CHATTY_DEVICE)


# Each of these takes its time, so they are not in every zoo.
SLOW_HOOKS = {
    "slow": "import time\ntime.sleep(1.1)\n" + HOOKS,
    "hanging_import": "import time\ntime.sleep(600)\n",
    "endless_thread": "import threading as t, time\n"
    "t.Thread(target=time.sleep, args=(600,)).start()\n" + HOOKS,
}

# Each of these ends or holds the first process that imports it, so they are not in every zoo.
DEADLY_HOOKS = {
    "segfault_import": "import ctypes\nctypes.string_at(0)\n" + HOOKS,
    "abort_import": "import os\nos.abort()\n" + HOOKS,
    "exit_import": "import os\nos._exit(7)\n" + HOOKS,
}
# A mutex that is locked twice: no signal ends that, and Python's lock is held.
HANGING_IN_C = (
    "import ctypes\nlock, mutex = ctypes.PyDLL(None).pthread_mutex_lock, bytes(64)\n"
    "lock(mutex)\nlock(mutex)\n" + HOOKS
)

CANARY = "canary-9f31c7"
SECRET_SETTINGS = """
import attrs
from deepseek_core import Secret

@attrs.frozen(kw_only=True)
class Settings:
    token: Secret | None = attrs.field(default=None, metadata={"help": "lets you in"})
    retries: int = 3
"""
SECRET_HOOKS = """
from deepseek_core import DeviceSpec, hookimpl, hooks

settings = "{module}.settings:Settings"

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    token = ctx.settings["token"]
    text = token.reveal() if token else "no token"
    {deed}
    return [DeviceSpec(name="{device}", kind="sim", factory="{module}.device:Device",
                       probe="{module}.device:probe", summary=f"logs in with {text}")]
"""


def install_secret(folder, name="secret_in_repr", deed="pass", **more):
    """A plugin that has a secret and lets it out."""
    files = {"settings.py": SECRET_SETTINGS}
    return install(folder, name, hooks=SECRET_HOOKS, files=files, deed=deed, **more)


BAD_PROBES = {
    "no_hardware": """
        from deepseek_core import DeviceInfo

        def probe():
            return [DeviceInfo(id="board:0", kind="fpga", name="board", evidence="hardware",
                               status="unavailable", reason="no board on PCIe",
                               remedy="plug the board in")]
        """,
    "no_rows": "def probe():\n    return []\n",
    "no_driver": "def probe():\n    raise ImportError('libnpu.so.1: cannot open it')\n",
    "no_module": "def probe():\n    import sklearn_y\n",
    "told": """
        from deepseek_core.contracts.errors import DeviceUnavailable

        def probe():
            raise DeviceUnavailable("the board is asleep", device_id="b", remedy="wake it up")
        """,
    "aborts": """
        import os, sys

        def probe():
            sys.stderr.write("terminate called after throwing an instance of 'cl::Error'\\n")
            sys.stderr.flush()
            os.abort()
        """,
    "segfaults": """
        import os, signal

        def probe():
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
    "raises": "def probe():\n    raise RuntimeError('firmware 3 is too old')\n",
    "exits": "def probe():\n    raise SystemExit(3)\n",
    "leaves": "import os\n\ndef probe():\n    os._exit(7)\n",
    "noisy": """
        import os
        from deepseek_core import DeviceInfo

        def probe():
            print("{'not': 'json'}")
            os.write(1, b"driver banner " * 50_000)
            os.write(2, b"more banner")
            return [DeviceInfo(id="noisy:0", kind="sim", name="noisy", evidence="model")]
        """,
    "wrong_rows": "def probe():\n    return [{'id': 'x'}]\n",
    "bad_evidence": """
        from deepseek_core import DeviceInfo

        def probe():
            return [DeviceInfo(id="x", kind="sim", name="x", evidence="marketing")]
        """,
    "too_large": """
        from deepseek_core import DeviceInfo

        def probe():
            return [DeviceInfo(id="x", kind="sim", name="x" * 2_000_000, evidence="model")]
        """,
    "forks": """
        import os, pathlib, time
        from deepseek_core import DeviceInfo

        def probe():
            pid = os.fork()
            if pid == 0:
                os.setsid()
                time.sleep(600)
            pathlib.Path(__file__).with_name("grandchild").write_text(str(pid))
            return [DeviceInfo(id="forks:0", kind="sim", name="f", evidence="model")]
        """,
    "answers_twice": """
        import json, os, sys
        from pathlib import Path
        from deepseek_core import DeviceInfo

        def probe():
            copy = os.fork()
            if copy:
                os.waitpid(copy, 0)
                answer = json.loads(Path(sys.argv[1]).read_text())["answer"]
                assert not Path(answer).exists(), "the copy has answered"
            return [DeviceInfo(id="twice:0", kind="sim", name="t", evidence="model")]
        """,
    "grabs_memory": "def probe():\n    return [bytearray(4 << 30)]\n",
    "bad_teardown": """
        import atexit, os, threading, time
        from deepseek_core import DeviceInfo

        def probe():
            atexit.register(os.abort)
            threading.Thread(target=time.sleep, args=(600,)).start()
            return [DeviceInfo(id="teardown:0", kind="sim", name="t", evidence="model")]
        """,
    "hangs": """
        import pathlib, subprocess, sys, time

        def probe():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            pathlib.Path(__file__).with_name("grandchild").write_text(str(child.pid))
            time.sleep(600)
        """,
}


def fill_all(folder):
    """The whole zoo, with those that take their time, and those that end the first process."""
    for name, hooks in DEADLY_HOOKS.items():
        install(folder, name, hooks=hooks)
    for name, hooks in (SLOW_HOOKS | HOOKS_LATE).items():
        install(folder, name, hooks=hooks)
    install_chatty(folder)
    return fill(folder, after=COMMAND_HOOKS)


def fill(folder, after=HOOKS):
    """The zoo: one well plugin among every ill one; `after` is what most of them offer."""
    install(folder, "well")
    install_secret(folder)
    install(folder, "cpu_onnx", dist="zoo-impostor", module="zoo_impostor")
    install(folder, "double")
    describe(folder, "zoo-double", "2.0.0", f"[{V1}]\ndouble = zoo_double.hooks\n")
    for name, hooks in BAD_HOOKS.items():
        install(folder, name, hooks=hooks)
    for name, (source, _what) in (RESTORED | LEFT).items():
        install(folder, name, hooks=dedent(source) + after)
    for name, probe in BAD_PROBES.items():
        install(folder, name, probe=probe)
    install(folder, "loud", hooks="import os\nprint('hello')\nos.write(1, b'banner')\n" + HOOKS)
    install(folder, "heavy", hooks="import numpy\n" + HOOKS)
    install(folder, "too_new", group="deepseek_sdk.plugins.v2")
    install(folder, "too_old", group="deepseek_sdk.plugins.v0")
    install(folder, "twin", dist="zoo-twin-a", module="zoo_twin_a", device="twin_a")
    install(folder, "twin", dist="zoo-twin-b", module="zoo_twin_b", device="twin_b")
    install(folder, "same_module")
    lines = "same_module = zoo_same_module.hooks\nsame_again = zoo_same_module.hooks\n"
    describe(folder, "zoo-same-module", "1.0.0", f"[{V1}]\n{lines}")
    install(folder, "name_twice")
    lines = "name_twice = zoo_name_twice.hooks\nname_twice = zoo_name_twice.device\n"
    describe(folder, "zoo-name-twice", "1.0.0", f"[{V1}]\n{lines}")
    for name in ("rival_command_a", "rival_command_b"):
        install(folder, name, hooks=RIVAL_COMMAND)
    install(folder, "rival_a", device="contested")
    install(folder, "rival_b", device="contested")
    return folder


def ds_sdk(*words, path=(), env=None, timeout_s=60):
    """Run `ds-sdk` in a fresh interpreter with the given folders on its path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEEPSEEK_")}
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, [*path, SOURCES, *inherited]))}
    environment |= {"PYTHONWARNINGS": "error"} | (env or {})
    return subprocess.run(
        [sys.executable, "-P", "-m", "deepseek_core", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout_s,
        check=False,
    )
