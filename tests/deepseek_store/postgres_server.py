"""A real PostgreSQL server of Debian's package, for as long as a test needs it.

It listens on a socket in its own folder only, and wants a password.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal, Self

_USER = "keeper"
_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
shared_buffers = 16MB
max_connections = 60
# Tests kill processes, not machines: the page cache survives.
fsync = off
autovacuum = off
"""


def missing() -> str | None:
    """Why it can't run here, or None."""
    if not _program("initdb") or not _program("pg_ctl"):
        return "PostgreSQL is not installed (Debian: apt install postgresql)"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "root can't run PostgreSQL, and there is no user postgres"
        if not shutil.which("setpriv"):
            return "root can't run PostgreSQL, and there is no setpriv"
    return None


class PostgresServer:
    """A server in a folder of its own; `stop("immediate")` kills it as a crash would."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ds-pg-"))
        self.password = "canary-" + secrets.token_hex(8)
        # One for each server, for several run at once.
        self.variable = f"DEEPSEEK_TEST_POSTGRES_{secrets.token_hex(4).upper()}"
        os.environ[self.variable] = self.password
        password_file = self.folder / "password"
        password_file.write_text(self.password, encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (self.folder, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._data = self.folder / "data"
        self._run(
            "initdb", "-D", self._data, "-U", _USER, "-A", "scram-sha-256", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", "--pwfile", password_file,
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS.format(folder=self.folder))

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "30", "start")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it: in order, or at once, so that it has to recover when it starts again."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def url(self, schema: str) -> str:
        """A URL for `PostgresIndex`, which names the variable with the password."""
        where = f"host={self.folder}&schema={schema}&password=env:{self.variable}"
        return f"postgresql://{_USER}@/postgres?{where}"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        os.environ.pop(self.variable, None)
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [_program(program) or program, *map(str, arguments)]
        if os.geteuid() == 0:
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            ]
        # Not through a pipe: the server would inherit it, and never close it.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, check=False, stdout=output, stderr=output, cwd=self.folder
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode(errors="replace")


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)
