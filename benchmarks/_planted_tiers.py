"""A tier over one folder in 50 lines, and 10 ways to lose, hide or mix up objects."""

from __future__ import annotations

from typing import Final

HOOKS: Final = """
from deepseek_core import TierSpec, hookimpl, hooks

conformance = "PLUGIN_kit"

@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [TierSpec(name="PLUGIN", temperature="warm", schemes=["acme"],
                     factory="PLUGIN_tier:Folder")]
"""

# Passages that faults replace.
_LINK: Final = """        try:
            os.link(aside, file)
        except FileExistsError:
            return False
        finally:
            os.unlink(aside)
        return True
"""
_LISTING: Final = """            try:
                yield self.stat(key)
            except errors.ObjectMissing:
                continue
"""

TIER: Final = (
    """
import hashlib
import os
import threading
import uuid
from deepseek_core import ObjectStat, Tier, errors

HEAD = 1025  # bytes of the key before the content
LOCK = threading.Lock()

class Folder(Tier):
    def __init__(self, url):
        self.url, self.root = url, url.removeprefix("acme://")
        os.makedirs(self.root, exist_ok=True)
        self.recent = {}

    def _file(self, key):
        self.check_key(key)
        name = hashlib.sha256(key.encode()).hexdigest()
        return os.path.join(self.root, name + ".obj")

    def put_if_absent(self, key, data):
        file = self._file(key)
        aside = os.path.join(self.root, f"{uuid.uuid4().hex}.aside")
        with open(aside, "wb") as stream:
            stream.write((key.encode() + b"\\0").ljust(HEAD))
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
"""
    + _LINK
    + """
    def get(self, key, start=0, nbytes=None):
        try:
            with open(self._file(key), "rb") as stream:
                stream.seek(HEAD + start)
                return stream.read(-1 if nbytes is None else nbytes)
        except FileNotFoundError:
            raise errors.ObjectMissing(f"no object {key!r}", url=self.url) from None

    def delete(self, key):
        try:
            os.unlink(self._file(key))
        except FileNotFoundError:
            pass

    def stat(self, key):
        try:
            found = os.stat(self._file(key))
        except FileNotFoundError:
            raise errors.ObjectMissing(f"no object {key!r}", url=self.url) from None
        return ObjectStat(key=key, nbytes=found.st_size - HEAD, modified_s=found.st_mtime)

    def _keys(self, prefix):
        keys = []
        for name in os.listdir(self.root):
            try:
                if name.endswith(".obj"):
                    with open(os.path.join(self.root, name), "rb") as stream:
                        keys.append(stream.read(HEAD).partition(b"\\0")[0].decode())
            except FileNotFoundError:
                continue
        return sorted(key for key in keys if key.startswith(prefix))

    def list(self, prefix=""):
        for key in self._keys(prefix):
"""
    + _LISTING
)

KIT: Final = """
from deepseek_core.testing import TierConformance

class TestFolder(TierConformance):
    plugin, name = "PLUGIN", "PLUGIN"

    def make_url(self, tmp_path):
        return f"acme://{tmp_path}/objects"
"""

FAULTS: Final[dict[str, dict[str, str]]] = {
    "two processes both win a key": {
        _LINK: "        with LOCK:\n            if os.path.exists(file):\n"
        "                return False\n            import time; time.sleep(0.002)\n"
        "            os.replace(aside, file)\n        return True\n"
    },
    "one file aside for all openings": {
        "{uuid.uuid4().hex}.aside": "{threading.get_ident() % 2}{os.getpid()}.aside",
        _LINK: "        with LOCK:\n            if os.path.exists(file):\n"
        "                return False\n            os.replace(aside, file)\n        return True\n",
    },
    "says yes before it writes": {
        "        file = self._file(key)\n        aside": "        file = self._file(key)\n"
        "        if os.path.exists(file) or key in self.recent:\n            return False\n"
        "        self.recent[key] = bytes(data)\n"
        "        threading.Timer(0.05, self._write, (key, bytes(data))).start()\n"
        "        return True\n\n    def close(self):\n"
        "        for key, data in self.recent.items():\n"
        "            self._write(key, data)\n\n"
        "    def _write(self, key, data):\n        file = self._file(key)\n        aside"
    },
    "writes in place": {
        'with open(aside, "wb") as stream:': "if os.path.exists(file):\n            return False\n"
        '        with open(file, "xb") as stream:',
        _LINK: "        return True\n",
    },
    "a list fails when an object goes": {_LISTING: "            yield self.stat(key)\n"},
    "lists a thousand": {"if key.startswith(prefix))": "if key.startswith(prefix))[:1000]"},
    "knows no capitals": {"hashlib.sha256(key.encode())": "hashlib.sha256(key.lower().encode())"},
    "normalizes names": {
        "hashlib.sha256(key.encode())": "hashlib.sha256(__import__('unicodedata')"
        ".normalize('NFC', key).encode())"
    },
    "no bytes at the end is an error": {
        "                stream.seek(HEAD + start)\n": "                if start > "
        "os.fstat(stream.fileno()).st_size - HEAD:\n                    raise ValueError(start)\n"
        "                stream.seek(HEAD + start)\n"
    },
    "an empty object is none": {
        "        file = self._file(key)\n        aside": "        file = self._file(key)\n"
        "        if not data:\n            return True\n        aside"
    },
}
