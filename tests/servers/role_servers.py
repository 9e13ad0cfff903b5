"""What gives temporary keys on Amazon's machines, and a gate before a real server that takes them.

    with KeyGate(server) as gate, RoleServer(gate) as roles:
        environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": roles.endpoint}
        ...                                  # talk to gate.endpoint

The gate checks the signature, the token and the time of each request as Amazon does, and signs it
anew with the real server's keys.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from s3_server import HOST, S3Server

_ROLES = "/latest/meta-data/iam/security-credentials/"


@dataclass(frozen=True)
class Issued:
    """Keys that were given to somebody, for a while."""

    access_key: str
    secret_key: str
    token: str
    expires_s: float

    @property
    def expiration(self) -> str:
        """When they expire, as Amazon writes it."""
        return datetime.fromtimestamp(self.expires_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Listening:
    """An HTTP server on a thread of its own."""

    def __init__(self, answer: Any) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, headers, body = answer(
                    self.command, self.path, self.headers, self.rfile.read(length)
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _do

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://{HOST}:{self.port}"

    def __enter__(self) -> Any:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class KeyGate(_Listening):
    """Takes temporary keys, and what is signed with them, until they expire."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(self._answer)
        self._target = server
        self.issued: dict[str, Issued] = {}
        self.used: list[str] = []
        """Access keys of the requests that were let through."""

    def issue(self, lasts_s: float = 3600.0) -> Issued:
        """New keys."""
        made = Issued(
            f"ASIA{secrets.token_hex(8).upper()}",
            secrets.token_hex(20),
            secrets.token_hex(32),
            time.time() + lasts_s,
        )
        self.issued[made.access_key] = made
        return made

    def revoke(self) -> None:
        """Let all keys expire now."""
        self.issued = {
            name: Issued(each.access_key, each.secret_key, each.token, 0.0)
            for name, each in self.issued.items()
        }

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        fields = _fields(headers.get("Authorization", ""))
        issued = self.issued.get(fields.get("Credential", "").partition("/")[0])
        if issued is None:
            return _refused(403, "InvalidAccessKeyId")
        if headers.get("x-amz-security-token") != issued.token:
            return _refused(400, "InvalidToken")
        if time.time() > issued.expires_s:
            return _refused(400, "ExpiredToken")
        signed = fields["SignedHeaders"].split(";")
        scope = fields["Credential"].split("/")[1:]
        if (
            signature(method, path, headers, signed, scope, issued.secret_key)
            != fields["Signature"]
        ):
            return _refused(403, "SignatureDoesNotMatch")
        self.used.append(issued.access_key)
        return self._pass(method, path, headers, body, scope)

    def _pass(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, scope: list[str]
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {name.lower(): value for name, value in headers.items()}
        signed = sorted({"host", *(n for n in sent if n.startswith("x-amz-"))})
        signed.remove("x-amz-security-token")
        del sent["x-amz-security-token"]
        made = signature(method, path, sent, signed, scope, self._target.secret_key)
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._target.access_key}/{'/'.join(scope)}, "
            f"SignedHeaders={';'.join(signed)}, Signature={made}"
        )
        connection = http.client.HTTPConnection(HOST, self._target.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            content = answer.read()
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _OWN}
            if method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
            return answer.status, kept, content
        finally:
            connection.close()


_OWN = {"connection", "transfer-encoding", "content-length", "date", "server"}


class RoleServer(_Listening):
    """A metadata service, a container's server of keys, and STS, in one."""

    def __init__(self, gate: KeyGate) -> None:
        super().__init__(self._answer)
        self.gate = gate
        self.lasts_s = 3600.0
        self.token = secrets.token_hex(16)
        """What a container sends, and a web identity shows."""
        self.instance_token_status = 200
        """Of the first request of IMDSv2; 403 and such: there is only v1."""
        self.instance_token_waits_s = 0.0
        """Before that answer."""
        self.status: int | None = None
        """Of every answer instead of keys."""
        self.requests: list[str] = []
        self.forms: list[dict[str, str]] = []
        self._session = secrets.token_hex(16)

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(f"{method} {path}")
        if self.status is not None:
            status, kind, error = _refused(self.status, "Injected")
            return status, kind, b"<ErrorResponse>%b</ErrorResponse>" % error
        if path == "/latest/api/token":
            time.sleep(self.instance_token_waits_s)
            return self.instance_token_status, {}, self._session.encode()
        if path.startswith(_ROLES):
            return self._of_instance(path, headers)
        if path == "/container":
            is_known = headers.get("Authorization") == self.token
            return (200, {}, self._json()) if is_known else _refused(401, "Unauthorized")
        if method == "POST":
            return self._of_sts({n: v[0] for n, v in parse_qs(body.decode()).items()}, headers)
        return _refused(404, "NotFound")

    def _of_instance(
        self, path: str, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        is_v2 = headers.get("X-aws-ec2-metadata-token") == self._session
        is_heard = self.instance_token_status == 200 and not self.instance_token_waits_s
        if is_heard and not is_v2:
            return _refused(401, "Unauthorized")
        return 200, {}, b"test-role\n" if path == _ROLES else self._json()

    def _of_sts(
        self, form: dict[str, str], headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self.forms.append(form)
        if form["Action"] == "AssumeRoleWithWebIdentity":
            if form.get("WebIdentityToken") != self.token:
                return _refused(400, "InvalidIdentityToken")
        elif "Credential=" not in headers.get("Authorization", ""):
            return _refused(403, "MissingAuthenticationToken")
        keys = self.gate.issue(self.lasts_s)
        name = form["Action"]
        found = (
            f'<{name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{name}Result>'
            f"<Credentials><AccessKeyId>{keys.access_key}</AccessKeyId><SecretAccessKey>"
            f"{keys.secret_key}</SecretAccessKey><SessionToken>{keys.token}</SessionToken>"
            f"<Expiration>{keys.expiration}</Expiration></Credentials></{name}Result>"
            f"</{name}Response>"
        )
        return 200, {"Content-Type": "text/xml"}, found.encode()

    def _json(self) -> bytes:
        keys = self.gate.issue(self.lasts_s)
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": keys.access_key,
                "SecretAccessKey": keys.secret_key,
                "Token": keys.token,
                "Expiration": keys.expiration,
            }
        ).encode()


def signature(
    method: str,
    path: str,
    headers: Mapping[str, str],
    signed: list[str],
    scope: list[str],
    secret_key: str,
) -> str:
    """The signature of a request, version 4; `scope` is day, region, service and an end mark."""
    place, _, query = path.partition("?")
    pairs = sorted(f"{n}={v}" for n, _, v in (p.partition("=") for p in query.split("&") if p))
    lines = [f"{name}:{' '.join((headers.get(name) or '').split())}\n" for name in signed]
    content = headers.get("x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
    request = [method, place, "&".join(pairs), "".join(lines), ";".join(signed), content]
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    told = ["AWS4-HMAC-SHA256", headers.get("x-amz-date") or "", "/".join(scope), digest]
    key = f"AWS4{secret_key}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, "\n".join(told).encode(), "sha256").hex()


def _fields(authorization: str) -> dict[str, str]:
    pairs = authorization.removeprefix("AWS4-HMAC-SHA256").split(",")
    return {n.strip(): v for n, _, v in (pair.partition("=") for pair in pairs)}


def _refused(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    error = f"<Error><Code>{code}</Code><Message>refused</Message></Error>"
    return status, {"Content-Type": "application/xml"}, error.encode()
