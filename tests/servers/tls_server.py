"""TLS before a plain server, with certificates as `openssl` makes them.

own = certificate(folder, "own", names="IP:127.0.0.1")
with TlsServer(server.port, own) as tls:
    ...                                  # talk to tls.endpoint
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    file: Path
    key: Path


def certificate(
    folder: Path,
    name: str,
    *,
    names: str = "",
    days: int = 2,
    authority: Certificate | None = None,
    is_authority: bool | None = None,
) -> Certificate:
    """Make one; self-signed without `authority`, and then one of an authority as openssl has it."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request, wanted = folder / f"{name}.csr", folder / f"{name}.ext"
    subject = ["-subj", "/CN=127.0.0.1" if is_authority is not True else f"/CN={name}"]
    _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key, *subject,
             "-out", request)  # fmt: skip
    is_ca = is_authority if is_authority is not None else authority is None
    lines = [f"basicConstraints=CA:{'TRUE' if is_ca else 'FALSE'}"]
    lines += [f"subjectAltName={names}"] if names else []
    wanted.write_text("\n".join(lines), encoding="utf-8")
    signer = ["-signkey", made.key]
    if authority is not None:
        signer = ["-CA", authority.file, "-CAkey", authority.key, "-CAcreateserial"]
    _openssl("x509", "-req", "-in", request, *signer, "-days", days, "-extfile", wanted,
             "-out", made.file)  # fmt: skip
    return made


def old_certificate(folder: Path, name: str) -> Certificate:
    """One of X.509 v1, as older guides make it: no names of hosts but the common one."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request = folder / f"{name}.csr"
    _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key,
             "-subj", "/CN=localhost", "-out", request)  # fmt: skip
    _openssl("x509", "-req", "-in", request, "-signkey", made.key, "-days", 2, "-out", made.file)
    return made


def _openssl(*arguments: object) -> None:
    program = shutil.which("openssl")
    assert program is not None, "apt-get install openssl"
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, timeout=60)


class TlsServer:
    """Listens from `__enter__` to `__exit__`; its certificate may change meanwhile."""

    def __init__(self, port: int, shown: Certificate) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(shown.file, shown.key)
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = f"https://{HOST}:{self.port}"
        self._open: list[socket.socket] = []

    def show(self, shown: Certificate) -> None:
        """Use another certificate for the next connections."""
        self._context.load_cert_chain(shown.file, shown.key)

    def drop(self) -> None:
        """Break the connections that there are."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> TlsServer:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with raw, suppress(OSError):
            near = self._context.wrap_socket(raw, server_side=True)
            self._open.append(near)
            with near, socket.create_connection((HOST, self._target)) as far:
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join(timeout=5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
