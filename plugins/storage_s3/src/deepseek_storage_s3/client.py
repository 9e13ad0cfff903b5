"""Requests to one bucket: sent with obstore, tried again within the budget, errors in our words."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from deepseek_core import Secret, errors
from deepseek_storage_s3 import faults
from deepseek_storage_s3.faults import Answer
from deepseek_storage_s3.options import Options
from deepseek_storage_s3.retry import RetryBudget, RetryPolicy

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential, S3Store

_log = logging.getLogger(__name__)
T = TypeVar("T")
Pace = Literal["short", "download", "upload"]
"""What a time-out has to fit: one of `timeout_s` in all fits no transfer of a large object."""

_CONNECT_S: Final = 5.0
_LONGER: Final = 20  # a transfer may take this many times as long
_KEYS_LAST: Final = timedelta(minutes=15)  # then they are read again: they may be renewed
_chance = random.SystemRandom()


class Refused(Exception):
    """A request was answered in a way that is no failure of the server; carries the answer."""

    def __init__(self, answer: Answer, *, tries: int) -> None:
        super().__init__(str(answer))
        self.answer, self.tries = answer, tries


class Client:
    """Sends requests; safe to use from several threads."""

    def __init__(self, options: Options, url: str) -> None:
        self._options, self._url = options, url
        self._policy = RetryPolicy(retries=options.retries, give_up_s=options.give_up_s)
        self._budget = RetryBudget(now_s=time.monotonic())
        self.stores: dict[Pace, S3Store] = {
            pace: make_store(options, pace) for pace in ("short", "download", "upload")
        }

    def call(
        self,
        what: str,
        request: Callable[[S3Store], T],
        *,
        expected: tuple[int, ...] = (),
        pace: Pace = "short",
    ) -> T:
        """The result of a request; `what` names it in errors.

        Raises:
            Refused: the object is missing or taken, or the status is one of those `expected`.
            TierUnavailable: it failed, also when tried again.
            TierFull: the server has no room.
        """
        start_s, failed = time.monotonic(), 0
        while True:
            try:
                return request(self.stores[pace])
            except _failures() as error:
                answer = faults.read(error)
            failed += 1
            if self._is_answer(answer, expected):
                raise Refused(answer, tries=failed)
            self._wait(what, answer, failed, start_s)

    def _is_answer(self, answer: Answer, expected: tuple[int, ...]) -> bool:
        if answer.is_missing:
            return answer.code != "NoSuchBucket"
        return answer.is_taken or answer.status in expected

    def _wait(self, what: str, answer: Answer, failed: int, start_s: float) -> None:
        """Wait until the next try.

        Raises:
            StorageError: there is none.
        """
        now_s = time.monotonic()
        delay_s = self._policy.delay_s(failed, _chance.random())
        if not answer.is_retryable:
            raise faults.fault(answer, what, self._url, "")
        refusal = self._policy.refusal(failed, now_s - start_s, delay_s)
        if refusal is None and not self._budget.take(now_s):
            refusal = "the budget of retries is used up"
        if refusal is not None:
            tries = f", {failed} tries in {now_s - start_s:.1f} s ({refusal})"
            raise faults.fault(answer, what, self._url, tries)
        _log.debug("%s: %s: %s; again in %.2f s", self._url, what, answer, delay_s)
        time.sleep(delay_s)


def make_store(options: Options, pace: Pace) -> S3Store:
    """An obstore client without retries of its own; it asks for the keys when it needs them.

    Raises:
        ConfigError: obstore refuses the options, or a key is not there.
    """
    from obstore.store import S3Store

    config: dict[str, Any] = {
        "region": options.region,
        "virtual_hosted_style_request": not options.path_style,
        "copy_if_not_exists": "multipart",
        "skip_signature": options.anonymous,
    }
    if options.endpoint is not None:
        config["endpoint"] = _endpoint(options)
    provider = None if options.anonymous else _provider(options)
    return S3Store(
        options.bucket,
        client_options=_client_options(options, pace),
        retry_config={"max_retries": 0},
        credential_provider=provider,
        **config,
    )


def _client_options(options: Options, pace: Pace) -> ClientConfig:
    limit_s = options.timeout_s
    found: ClientConfig = {
        "allow_http": (options.endpoint or "").startswith("http:"),
        "timeout": timedelta(seconds=limit_s if pace == "short" else limit_s * _LONGER),
        "connect_timeout": timedelta(seconds=min(limit_s, _CONNECT_S)),
    }
    if pace == "download":  # a stall; it would count the whole of an upload
        found["read_timeout"] = timedelta(seconds=limit_s)
    if options.ca_file is not None:
        found["root_certificate"] = _certificate(options)
    return found


def _endpoint(options: Options) -> str:
    """With the bucket's name in the host where the style is so, as obstore wants it."""
    endpoint = options.endpoint or ""
    if options.path_style:
        return endpoint
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{options.bucket}.{host}"


def _certificate(options: Options) -> bytes:
    assert options.ca_file is not None
    try:
        return options.ca_file.read_bytes()
    except OSError as error:
        raise errors.ConfigError(
            f"{options.ca_file} (ca=): {error.strerror}", remedy="give the path of a PEM file"
        ) from error


def _provider(options: Options) -> Callable[[], S3Credential]:
    """What hands the keys to obstore, which else would show them in its configuration."""
    access_key, secret_key, token = options.access_key, options.secret_key, options.session_token
    assert access_key is not None and secret_key is not None
    for secret in (access_key, secret_key, token):
        _reveal(secret)  # now, so that what is not there is told in its own words

    def keys() -> S3Credential:
        return {
            "access_key_id": access_key.reveal(),
            "secret_access_key": secret_key.reveal(),
            "token": _reveal(token),
            "expires_at": datetime.now(UTC) + _KEYS_LAST,
        }

    return keys


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _failures() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return BaseError, FileNotFoundError, OSError
