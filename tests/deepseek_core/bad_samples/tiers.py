"""A sound tier over a folder, and what is wrong with each of the others."""

import contextlib
import itertools
import os
import threading
import time
import unicodedata
import uuid
from pathlib import Path

from deepseek_core import ObjectStat, Tier, TierProfile, errors

OPEN = []


class Sound(Tier):
    """Objects as files: written aside, then linked to their name, which fails if it is taken."""

    failure_domains = ("left", "right")

    def __init__(self, url):
        self.url = url
        self.root = Path(url.removeprefix("bad://"))
        self.objects = self.root / "objects"
        self.aside = self.root / "aside"
        for folder in (self.objects, self.aside):
            folder.mkdir(exist_ok=True)

    def path(self, key):
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts) or self.too_long(parts):
            raise errors.InputError(f"key {key!r} is not allowed")
        return self.objects.joinpath(*parts)

    def too_long(self, parts):
        return any(len(part.encode()) > 255 for part in parts)

    def put_if_absent(self, key, data):
        path, aside = self.path(key), self.aside / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(data)
            os.link(aside, path)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        return True

    def missing(self, key):
        return errors.ObjectMissing(f"no object {key}", url=self.url)

    def get(self, key, start=0, nbytes=None):
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            raise self.missing(key) from None
        return content[start:] if nbytes is None else content[start : start + nbytes]

    def delete(self, key):
        self.path(key).unlink(missing_ok=True)

    def list(self, prefix=""):
        files = (path for path in self.objects.rglob("*") if path.is_file())
        keys = sorted(path.relative_to(self.objects).as_posix() for path in files)
        return self.stats(key for key in keys if key.startswith(prefix))

    def stats(self, keys):
        for key in keys:
            with contextlib.suppress(errors.ObjectMissing, FileNotFoundError):  # deleted since
                yield self.stat(key)

    def stat(self, key):
        try:
            found = self.path(key).stat()
        except FileNotFoundError:
            raise self.missing(key) from None
        return ObjectStat(key=key, nbytes=found.st_size, modified_s=found.st_mtime)


class RenamesItself(Sound):
    def __init__(self, url):
        super().__init__(url)
        self.url = url + "/"


class ReadsAsText(Sound):
    def get(self, key, start=0, nbytes=None):
        return super().get(key, start, nbytes).replace(b"\xff", b"?")


class IgnoresTheLength(Sound):
    def get(self, key, start=0, nbytes=None):
        is_short = self.path(key).is_file() and self.stat(key).nbytes < 100
        return super().get(key, start, None if is_short else nbytes)


class ListsFoldersOnly(Sound):
    def list(self, prefix=""):
        folder = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        return super().list(folder)


class CountsMilliseconds(Sound):
    def stat(self, key):
        found = super().stat(key)
        return ObjectStat(key=key, nbytes=found.nbytes, modified_s=found.modified_s * 1000)


class KeepsTheDeleted(Sound):
    def delete(self, key):
        self.path(key)


class PrefersTheLonger(Sound):
    def put_if_absent(self, key, data):
        wrote = super().put_if_absent(key, data)
        if not wrote and len(data) > self.stat(key).nbytes:
            self.path(key).write_bytes(data)
        return wrote


class RaisesFileErrors(Sound):
    def missing(self, key):
        return FileNotFoundError(key)


class KnowsAsciiOnly(Sound):
    def path(self, key):
        if not key.isascii():
            raise errors.InputError(f"key {key!r} is not ASCII")
        return super().path(key)


class TakesNothingForAbsent(Sound):
    def get(self, key, start=0, nbytes=None):
        if not self.path(key).exists() or self.path(key).stat().st_size == 0:
            raise self.missing(key)
        return super().get(key, start, nbytes)


class CutsAtABorder(Sound):
    def put_if_absent(self, key, data):
        border = 4 * 1024 * 1024
        return super().put_if_absent(key, data[:border] if len(data) == border + 1 else data)


class ReadsWholeBlocks(Sound):
    def get(self, key, start=0, nbytes=None):
        return super().get(key, start - start % 4096 if start > 4096 else start, nbytes)


class KeepsTheBuffer(Sound):
    def __init__(self, url):
        super().__init__(url)
        self.recent = {}

    def put_if_absent(self, key, data):
        wrote = super().put_if_absent(key, data)
        if wrote:
            self.recent[key] = data
        return wrote

    def get(self, key, start=0, nbytes=None):
        content = bytes(self.recent[key]) if key in self.recent else super().get(key)
        return content[start:] if nbytes is None else content[start : start + nbytes]


class LooksBeforeItLeaps(Sound):
    def __init__(self, url):
        super().__init__(url)
        self.meeting = threading.Barrier(8)

    def put_if_absent(self, key, data):
        if key != "contested":
            return super().put_if_absent(key, data)
        absent = not self.path(key).exists()
        self.meeting.wait()  # all eight have looked before one writes
        if absent:
            self.path(key).write_bytes(data)
        return absent


class ForgetsWhoAsked(Sound):
    asked = ""

    def get(self, key, start=0, nbytes=None):
        self.asked = key
        if key.startswith("threads/"):
            time.sleep(0.01)  # meanwhile another thread asks
        return super().get(self.asked, start, nbytes)


class TrustsTheLength(Sound):
    def too_long(self, parts):
        return False  # the file system will refuse it, as an OSError


class MixesItsDomains(Sound):
    def list(self, prefix=""):
        is_domain = prefix.rstrip("/") in self.failure_domains
        return super().list("" if is_domain else prefix)


class BoastsOfRoom(Sound):
    def profile(self):
        return TierProfile(
            medium="ssd", latency_s=1e-4, bytes_per_s=5e8, capacity_nbytes=10, free_nbytes=11
        )


class WalksUp(Sound):
    def path(self, key):
        if "" in key.split("/"):
            raise errors.InputError(f"key {key!r} is not allowed")
        return self.objects / "deep" / "down" / key if ".." in key else super().path(key)


class ClosesOnce(Sound):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class LeavesAFileOpen(Sound):
    def __init__(self, url):
        super().__init__(url)
        OPEN.append((self.root / "lock").open("a"))


class Forgets(Sound):
    def close(self):
        for path in self.objects.iterdir():
            if path.is_file():  # what lies in no folder, it takes for its own
                path.unlink()


class WritesInPlace(Sound):
    def put_if_absent(self, key, data):
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        except FileExistsError:
            return False
        return True


class NamesAside(Sound):
    """Writes aside under names of a pattern."""

    def put_if_absent(self, key, data):
        path, aside = self.path(key), self.aside / self.name_aside()
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        time.sleep(5e-3)  # as a slow disk: what two write at once meets there
        with contextlib.suppress(FileNotFoundError):  # another has moved it
            try:
                os.link(aside, path)
            except FileExistsError:
                return False
        aside.unlink(missing_ok=True)
        return True


class LocksForItself(NamesAside):
    def __init__(self, url):
        super().__init__(url)
        self.lock = threading.Lock()  # of this opening alone

    def put_if_absent(self, key, data):
        with self.lock:
            return super().put_if_absent(key, data)

    def name_aside(self):
        return f"{os.getpid()}"


class TrustsItsProcess(NamesAside):
    serial = itertools.count()

    def name_aside(self):
        return f"{next(self.serial)}"


class SaysYesTooEarly(Sound):
    """All of a process write through one buffer, which is written when someone looks."""

    pending = {}  # noqa: RUF012 - shared by all, that is its fault
    lock = threading.RLock()

    def put_if_absent(self, key, data):
        with self.lock:
            self.path(key)
            taken = (self.root, key) in self.pending or self.path(key).exists()
            if not taken:
                self.pending[self.root, key] = bytes(data)
            return not taken

    def flush(self):
        with self.lock:
            for (root, key), data in list(self.pending.items()):
                if root == self.root:
                    super().put_if_absent(key, data)
                    del self.pending[root, key]

    def get(self, key, start=0, nbytes=None):
        self.flush()
        return super().get(key, start, nbytes)

    def list(self, prefix=""):
        self.flush()
        return super().list(prefix)

    def stat(self, key):
        self.flush()
        return super().stat(key)

    def delete(self, key):
        self.flush()
        super().delete(key)

    def close(self):
        self.flush()


class LooksAgain(Sound):
    def stats(self, keys):
        for key in keys:
            time.sleep(1e-4)
            yield self.stat(key)


class ListsAPage(Sound):
    def list(self, prefix=""):
        return itertools.islice(super().list(prefix), 1000)


class ComposesItsNames(Sound):
    def path(self, key):
        return super().path(unicodedata.normalize("NFC", key))
