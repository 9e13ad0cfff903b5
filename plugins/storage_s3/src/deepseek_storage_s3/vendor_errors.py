"""What an S3 server answers, as errors of the SDK.

StorageError
`-- TierUnavailable
    |-- AccessRefused         keys that are wrong, or have no right; not retryable
    |   |-- KeysExpired       they were good until a while ago
    |   `-- KeysMissing       no keys are to be had
    |-- BucketMissing         there is no such bucket; not retryable
    |-- BucketElsewhere       it is in another region; not retryable
    `-- CertificateRefused    the server is not who it should be; not retryable
"""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_core import errors
from deepseek_storage_s3.answers import Answer, Kind
from deepseek_storage_s3.keys import KeyTrouble

_RETRYABLE_STATUS: Final = {408, 409, 425, 429}
_RETRYABLE_CODES: Final = {"RequestTimeout", "SlowDown", "Throttling", "ConditionalRequestConflict"}
_FULL_CODES: Final = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"}
_LONG_CODES: Final = {"KeyTooLongError", "InvalidURI", "InvalidObjectName"}
_EXPIRED_CODES: Final = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_STRANGE_CODES: Final = {"InvalidAccessKeyId", "InvalidToken", "InvalidClientTokenId"}
_ELSEWHERE_CODES: Final = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
}
_USUAL: Final = "see whether the server is up and reachable, then try again"
_REMEDIES: Final = {
    "SignatureDoesNotMatch": "the secret key is not that of the access key: set it right",
    "InvalidAccessKeyId": "this endpoint does not know the access key: set another",
    "InvalidClientTokenId": "this endpoint does not know the access key: set another",
    "InvalidToken": "the session token is not that of the keys: set it right, or take it away",
    "AccessDenied": "give these keys the right to read, write, list and delete in this bucket",
    "AllAccessDisabled": "the provider has closed this bucket: ask it why",
    "SlowDown": "the server asks for fewer requests: try again later, or raise retries= and "
    "give_up_s=",
    "KeyTooLongError": "use shorter keys or a shorter prefix",
}
_REMEDIES_OF_KINDS: Final[dict[Kind, str]] = {
    "host": "set the host in endpoint= right, and see whether names are resolved here at all",
    "time": "see whether the server is up and reachable; a slow one needs a longer timeout_s=",
    "no-tls": "set scheme and port in endpoint= right: http: or https:",
}


class AccessRefused(errors.TierUnavailable):
    """The server knows us, and refuses us, or does not know us."""

    retryable = False


class KeysExpired(AccessRefused):
    """The keys were good until a while ago."""


class KeysMissing(AccessRefused):
    """No keys are to be had where they should be."""


class BucketMissing(errors.TierUnavailable):
    """There is no such bucket."""

    retryable = False


class BucketElsewhere(errors.TierUnavailable):
    """The bucket is in another region, or at another endpoint."""

    retryable = False


class CertificateRefused(errors.TierUnavailable):
    """The server's certificate does not prove who it is."""

    retryable = False


@attrs.frozen(kw_only=True)
class FailedRequest:
    """What failed: a request to a `url`, after `tries` in words; `ca` is the file of `ca=`."""

    url: str
    what: str
    tries: str = ""
    ca: str | None = None


def is_retryable(answer: Answer) -> bool:
    """Whether the same request may succeed in a moment."""
    if answer.is_missing or answer.status == 507:
        return False
    if answer.status is None:
        return not answer.is_taken and answer.kind not in ("redirect", "certificate", "no-tls")
    return (
        answer.status >= 500
        or answer.status == 200  # an answer that turned out to be an error
        or answer.status in _RETRYABLE_STATUS
        or answer.code in _RETRYABLE_CODES
    )


def is_of_old_keys(answer: Answer) -> bool:
    """Whether newer keys, where there are some, would be taken."""
    return answer.code in _EXPIRED_CODES or answer.code in _STRANGE_CODES


def is_elsewhere(answer: Answer) -> bool:
    """Whether the bucket may be in another region; answers to HEAD have no body that would tell."""
    return (
        answer.kind == "redirect"
        or answer.code in _ELSEWHERE_CODES
        or (answer.status in (301, 307, 400) and not answer.code)
    )


def of_answer(answer: Answer, request: FailedRequest) -> errors.DeepSeekError:
    """The SDK's error for a request that failed for good."""
    said = f"{request.url}: {request.what} failed: {answer}{request.tries}"
    url = request.url
    if answer.kind == "certificate":
        return CertificateRefused(said, url=url, remedy=_of_certificate(answer, request))
    if is_elsewhere(answer) and (answer.region or answer.status != 400 or answer.code):
        return _elsewhere(answer, said, url)
    refusal = _of_access(answer, said, url)
    if refusal is not None:
        return refusal
    return _of_place(answer, said, url)


def _of_place(answer: Answer, said: str, url: str) -> errors.DeepSeekError:
    """The error, if it is none of certificates, regions and rights."""
    if answer.code == "NoSuchBucket":
        remedy = "make the bucket, or set its name and endpoint right"
        return BucketMissing(f"{url}: there is no such bucket", url=url, remedy=remedy)
    if answer.status == 507 or answer.code in _FULL_CODES:
        return errors.TierFull(said, url=url, remedy="free some space there or raise the quota")
    if answer.code in _LONG_CODES:
        return errors.InputError(said, remedy=_REMEDIES["KeyTooLongError"])
    remedy = _REMEDIES.get(answer.code) or _REMEDIES_OF_KINDS.get(answer.kind, _USUAL)
    return errors.TierUnavailable(said, url=url, remedy=remedy)


def _of_access(answer: Answer, said: str, url: str) -> AccessRefused | None:
    """The error, if it is one of keys and rights."""
    if answer.code in _EXPIRED_CODES:
        remedy = "renew them: sign on again, or write the new ones where the old ones are"
        return KeysExpired(f"{said}: the keys have expired", url=url, remedy=remedy)
    if answer.code in ("RequestTimeTooSkewed", "RequestExpired"):
        return AccessRefused(
            f"{said}{_skew(answer)}", url=url, remedy="set the clock of this machine right"
        )
    if answer.status in (401, 403) or answer.code in _STRANGE_CODES:
        usual = "check the keys, and that they may read, write, list and delete in this bucket"
        return AccessRefused(said, url=url, remedy=_REMEDIES.get(answer.code, usual))
    return None


def _skew(answer: Answer) -> str:
    if not answer.behind_s:
        return ": the clocks of this machine and of the server differ"
    side = "behind" if answer.behind_s > 0 else "ahead of"
    return f": this machine's clock is {abs(answer.behind_s):.0f} s {side} the server's"


def _elsewhere(answer: Answer, said: str, url: str) -> BucketElsewhere:
    if not answer.region:
        remedy = "give the region and the endpoint of the bucket (region=, endpoint=)"
        return BucketElsewhere(said, url=url, remedy=remedy)
    return BucketElsewhere(
        f"{said}: the bucket is in the region {answer.region}",
        url=url,
        remedy=f"write region={answer.region}, and an endpoint= of that region if you give one",
    )


def _of_certificate(answer: Answer, request: FailedRequest) -> str:
    if any(word in answer.cause for word in ("expired", "valid yet", "yet valid")):
        return "let the server have a new certificate, or set the clock of this machine right"
    if answer.cause.startswith(("it is for", "it names", "Hostname", "hostname", "IP address")):
        return "use a name in endpoint= that the certificate is for, or have one made for this name"
    if request.ca is None:
        return "give its certificate, or that of its authority, as a PEM file: ca=FILE"
    return f"put its certificate, or that of its authority, into {request.ca} (ca=)"


def of_keys(trouble: KeyTrouble, source: str, request: FailedRequest) -> errors.TierUnavailable:
    """The SDK's error for keys that are not to be had."""
    said = f"{request.url}: there are no keys for S3: {source}: {trouble.why}{request.tries}"
    made = errors.TierUnavailable if trouble.is_passing else KeysMissing
    return made(said, url=request.url, remedy=trouble.remedy)
