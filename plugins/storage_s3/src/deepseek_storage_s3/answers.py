"""What went wrong with a request, as obstore's exceptions tell it.

obstore tells it in the debug form of Rust errors, and only there: the system's words, the reason
why a certificate was refused. Those are read here. Its texts are not passed on: they repeat what
the server wrote, which may be anything.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal

import attrs

Kind = Literal["status", "redirect", "time", "host", "certificate", "no-tls", "connection"]

_DETAILS: Final = "\n\nDebug source"  # obstore's dump of the same, which doubles every mark
_LONGEST: Final = 20_000
_STATUS: Final = re.compile(r" - Server returned non-2xx status code: (\d{3})")
_LATE: Final = " - Server returned error response: "  # after a status of success
_CODE: Final = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_REGION: Final = re.compile(
    r"<Region>\s*([a-z0-9-]{1,40})\s*</Region>"
    r"|<Endpoint>[a-z0-9.-]{0,100}?\bs3[.-]([a-z]{2}-[a-z-]{1,30}-\d)\.amazonaws\."
)
_TIMES: Final = re.compile(
    r"<RequestTime>(\d{8}T\d{6}Z)</RequestTime>.{0,500}?"
    r"<ServerTime>([0-9T:-]{15,19}(?:\.\d+)?Z)</ServerTime>",
    re.DOTALL,
)
_SYSTEM: Final = re.compile(r'message: "([^"\\]{1,100})"')
_HOST: Final = re.compile(r'failed to lookup address information: ([^"\\]{1,100})"')
_CERTIFICATE: Final = re.compile(r"InvalidCertificate\( (?:Other\( OtherError\( )?(\w{1,60})")
_PRESENTED: Final = re.compile(r'(?:DnsName|IpAddress)\([\\"]*([A-Za-z0-9.*:-]{1,100})')
_WHY_REFUSED: Final = {
    "UnknownIssuer": "it is signed by nobody that this machine trusts",
    "Expired": "it has expired",
    "ExpiredContext": "it has expired",
    "NotValidYet": "it is not valid yet",
    "NotValidYetContext": "it is not valid yet",
    "Revoked": "it was revoked",
    "CaUsedAsEndEntity": "it is self-signed, or that of an authority",
    "UnsupportedCertVersion": "it is of an old version (X.509 v1)",
}


@attrs.frozen(kw_only=True)
class Answer:
    """What went wrong with one request: HTTP status and S3 code, or `trouble` without an answer.

    `cause` is the word of the library or the system for it; `region` where the bucket is instead;
    `behind_s` how many seconds this machine's clock is behind the server's.
    """

    kind: Kind = "connection"
    status: int | None = None
    code: str = ""
    trouble: str = "the connection broke"
    cause: str = ""
    region: str = ""
    behind_s: float | None = None
    is_taken: bool = False
    is_missing: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether it is a refusal without a reason, as answers to HEAD are."""
        return self.status in (400, 401, 403) and not self.code

    def __str__(self) -> str:
        if self.status is not None:
            return f"HTTP {self.status}{f' {self.code}' if self.code else ''}"
        return f"{self.trouble}: {self.cause}" if self.cause else self.trouble


def read(error: Exception) -> Answer:
    """What an exception of obstore stands for."""
    text, _, details = str(error).partition(_DETAILS)
    status = _STATUS.search(text)
    body = text[status.end() :] if status else text.partition(_LATE)[2]
    if not body and status is None:
        found = _of_dump(" ".join((details or text)[:_LONGEST].split()))
        return attrs.evolve(
            found,
            is_taken=type(error).__name__ == "AlreadyExistsError",
            is_missing=isinstance(error, FileNotFoundError),
        )
    number = 200 if status is None else int(status[1])
    code, region = _CODE.search(body), _REGION.search(body)
    return Answer(
        kind="status",
        status=number,
        code="" if code is None else code[1],
        region="" if region is None else region[1] or region[2],
        behind_s=_behind_s(body),
        is_taken=type(error).__name__ == "AlreadyExistsError" and number != 409,
        is_missing=isinstance(error, FileNotFoundError),
    )


def _of_dump(dump: str) -> Answer:
    """What went wrong with a request that got no answer."""
    dump = dump[max(0, dump.rfind("HttpError {")) :]  # what stands before has names of objects
    if "BareRedirect" in dump:
        return Answer(kind="redirect", trouble="the bucket is elsewhere")
    if "InvalidCertificate(" in dump:
        return Answer(
            kind="certificate", trouble="its certificate is refused", cause=_why_refused(dump)
        )
    if "dns error" in dump:
        cause = _HOST.search(dump)
        trouble = "the name of the host is not known"
        return Answer(kind="host", trouble=trouble, cause="" if cause is None else cause[1])
    if "TimedOut" in dump or "kind: Timeout" in dump:
        is_connecting = "kind: Connect" in dump or "Connect," in dump
        return Answer(kind="time", trouble="no connection" if is_connecting else "no answer")
    return _of_connection(dump)


def _of_connection(dump: str) -> Answer:
    if "InvalidMessage(" in dump or "AlertReceived(" in dump:
        return Answer(
            kind="no-tls",
            trouble="no TLS connection",
            cause="the server speaks another protocol there",
        )
    if "Parse(" in dump:
        return Answer(trouble="no answer", cause="the server does not speak HTTP there")
    if "IncompleteMessage" in dump or "UnexpectedEof" in dump:
        return Answer(cause="the server closed it in the middle")
    system = _SYSTEM.search(dump)
    trouble = "no connection" if "kind: Connect," in dump else "the connection broke"
    return Answer(trouble=trouble, cause="" if system is None else system[1].lower())


def _why_refused(dump: str) -> str:
    reason = _CERTIFICATE.search(dump)
    if reason is None:
        return "it does not verify"
    if reason[1].startswith("NotValidForName"):
        names = ", ".join(dict.fromkeys(_PRESENTED.findall(dump)[:5]))
        words = f"it is for {names}" if names else "it names no host that it is for"
    else:
        words = _WHY_REFUSED.get(reason[1], "it does not verify")
    return f"{words} ({reason[1]})"


def _behind_s(text: str) -> float | None:
    times = _TIMES.search(text)
    if times is None:
        return None
    try:
        ours, server = (datetime.fromisoformat(time) for time in times.groups())
    except ValueError:
        return None
    return (server - ours).total_seconds()
