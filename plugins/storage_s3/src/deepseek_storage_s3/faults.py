"""What an S3 server answers, as errors of the SDK.

StorageError
`-- TierUnavailable
    |-- AccessRefused     wrong keys, or keys without the right; not retryable
    `-- BucketMissing     there is no such bucket; not retryable

obstore's own texts are not passed on: they repeat what the server wrote, which may be anything.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from deepseek_core import errors

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_TIMEOUT: Final = re.compile(r"\bTimedOut\b|kind: Timeout\b|timed out")
_CONNECT: Final = re.compile(r"kind: Connect\b")
_DETAILS: Final = "\n\nDebug source"  # obstore's dump of the same, which doubles every mark

_RETRYABLE_STATUS: Final = {408, 409, 425, 429}
_RETRYABLE_CODES: Final = {"RequestTimeout", "SlowDown", "Throttling", "ConditionalRequestConflict"}
_FULL_CODES: Final = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"}
_REMEDIES: Final = {
    "SignatureDoesNotMatch": "the secret key is not that of the access key: set it right",
    "InvalidAccessKeyId": "this endpoint does not know the access key: set another",
    "RequestTimeTooSkewed": "set the clock of this machine right",
    "ExpiredToken": "renew the session token",
    "AuthorizationHeaderMalformed": "give the region of the bucket (region=)",
    "PermanentRedirect": "give the region and the endpoint of the bucket (region=, endpoint=)",
    "KeyTooLongError": "use shorter keys or a shorter prefix",
}


class AccessRefused(errors.TierUnavailable):
    """The server knows us, and refuses us, or does not know us."""

    retryable = False


class BucketMissing(errors.TierUnavailable):
    """There is no such bucket."""

    retryable = False


@attrs.frozen(kw_only=True)
class Answer:
    """What went wrong with one request: HTTP status and S3 code, or `trouble` without an answer."""

    status: int | None = None
    code: str = ""
    trouble: str = "the connection broke"
    is_taken: bool = False
    is_missing: bool = False

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed in a moment."""
        if self.is_missing or self.status == 507:
            return False
        if self.status is None:
            return not self.is_taken
        return (
            self.status >= 500 or self.status in _RETRYABLE_STATUS or self.code in _RETRYABLE_CODES
        )

    def __str__(self) -> str:
        if self.status is not None:
            return f"HTTP {self.status}{f' {self.code}' if self.code else ''}"
        return self.trouble


def read(error: Exception) -> Answer:
    """What an exception of obstore stands for."""
    text, _, details = str(error).partition(_DETAILS)
    status, code = _STATUS.search(text), _CODE.search(text)
    found = None if status is None else int(status[1])
    return Answer(
        status=found,
        code="" if code is None else code[1],
        trouble=_trouble(details or text),
        is_taken=type(error).__name__ == "AlreadyExistsError" and found != 409,
        is_missing=isinstance(error, FileNotFoundError),
    )


def _trouble(details: str) -> str:
    """What went wrong with a request that got no answer."""
    if _TIMEOUT.search(details):
        return "no answer in time"
    return "no connection" if _CONNECT.search(details) else "the connection broke"


def fault(answer: Answer, what: str, url: str, tries: str) -> errors.DeepSeekError:
    """The SDK's error for a request that failed for good; `tries` says how often it was tried."""
    said = f"{url}: {what} failed: {answer}{tries}"
    remedy = _REMEDIES.get(answer.code)
    if answer.code == "NoSuchBucket":
        return BucketMissing(
            f"{url}: there is no such bucket",
            url=url,
            remedy="make the bucket, or set its name and endpoint right",
        )
    if answer.status in (401, 403) or answer.code in ("InvalidAccessKeyId", "ExpiredToken"):
        usual = "check the keys, and that they may read, write, list and delete in this bucket"
        return AccessRefused(said, url=url, remedy=remedy or usual)
    if answer.status == 507 or answer.code in _FULL_CODES:
        return errors.TierFull(said, url=url, remedy="free some room there or raise the quota")
    if answer.code in ("KeyTooLongError", "InvalidURI", "InvalidObjectName"):
        return errors.InputError(said, remedy=remedy or _REMEDIES["KeyTooLongError"])
    usual = "see whether the server is up and reachable, then try again"
    return errors.TierUnavailable(said, url=url, remedy=remedy or usual)
