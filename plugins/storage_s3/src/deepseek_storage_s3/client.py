"""Requests to one bucket: sent with obstore, tried again within the budget, errors in our words."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from deepseek_core import errors
from deepseek_storage_s3 import answers, key_chain, stores, vendor_errors
from deepseek_storage_s3.answers import Answer
from deepseek_storage_s3.keys import KeptKeys, KeyTrouble
from deepseek_storage_s3.options import Options
from deepseek_storage_s3.reading import list_some
from deepseek_storage_s3.retry import RetryBudget, RetryPolicy
from deepseek_storage_s3.stores import Pace

if TYPE_CHECKING:
    from obstore.store import S3Store

    from deepseek_storage_s3.tls_relay import Relay

_log = logging.getLogger(__name__)
T = TypeVar("T")
_chance: Final = random.SystemRandom()


class RefusedAnswer(Exception):
    """A request was answered in a way that is no failure of the server; carries the answer."""

    def __init__(self, answer: Answer, *, tries: int) -> None:
        super().__init__(str(answer))
        self.answer, self.tries = answer, tries


class Client:
    """Sends requests; safe to use from several threads."""

    def __init__(self, options: Options, url: str) -> None:
        self._options, self._url = options, url
        self._policy = RetryPolicy(retries=options.retries, give_up_s=options.give_up_s)
        self._budget = RetryBudget(now_s=time.monotonic())  # of retries, which all requests share
        # None: requests are not signed
        self._keys = None if options.anonymous else KeptKeys(key_chain.find(options))
        if self._keys is not None and self._keys.is_here:
            self._keys.current()  # what is not there is told now, in its own words
        self._relay: Relay | None = None
        self._refusal: str | None = None  # why OpenSSL refuses the certificate too
        self._changing = threading.Lock()
        self.stores = stores.make(options, self._keys, None)  # made again when keys change

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
            RefusedAnswer: the object is missing or taken, or the status is one of those `expected`.
            TierUnavailable: it failed, also when tried again.
            TierFull: the server has no space left.
        """
        start_s, failed, has_changed = time.monotonic(), 0, False
        while True:
            used, try_s = self.stores, time.monotonic()
            try:
                if self._keys is not None:
                    self._keys.current()
                return request(used[pace])
            except KeyTrouble as trouble:
                found: Answer | KeyTrouble = trouble
            except _failures() as error:
                found = self._read(error, pace, time.monotonic() - try_s)
                if found.is_silent:
                    found = self._ask_why(found, used)
            failed += 1
            if isinstance(found, Answer) and self._is_expected(found, expected):
                raise RefusedAnswer(found, tries=failed)
            if isinstance(found, Answer) and not has_changed and self._change(found, used):
                has_changed = True
                continue
            self._wait(what, found, failed, start_s)

    def close(self) -> None:
        """Let go of what is open; idempotent."""
        with self._changing:
            if self._relay is not None:
                self._relay.close()
                self._relay = None

    def _read(self, error: Exception, pace: Pace, took_s: float) -> Answer:
        """What went wrong, with what obstore does not know."""
        answer = answers.read(error)
        if answer.kind == "time":
            limit = f"{stores.connect_s(self._options):g} s"
            if answer.trouble == "no answer":
                limit = stores.limit_words(self._options, pace, took_s)
            return attrs.evolve(answer, trouble=f"{answer.trouble} within {limit}")
        relay = self._relay
        if answer.kind == "connection" and relay is not None:
            return relay.explain(answer)
        return answer

    def _ask_why(self, answer: Answer, used: dict[Pace, S3Store]) -> Answer:
        """The answer to a request that has a body, where it is the same: it tells the code."""
        try:
            list_some(used["short"], "")
        except _failures() as error:
            told = self._read(error, "short", 0.0)
            return told if told.status == answer.status else answer
        return answer

    def _is_expected(self, answer: Answer, expected: tuple[int, ...]) -> bool:
        if answer.is_missing:
            return answer.code != "NoSuchBucket"
        return answer.is_taken or answer.status in expected

    def _change(self, answer: Answer, used: dict[Pace, S3Store]) -> bool:
        """Change what would let the same request succeed; True if there is such a thing."""
        with self._changing:
            if self.stores is not used:  # another thread has done so meanwhile
                return True
            if answer.kind == "certificate":
                has_changed = self._take_relay()
            else:
                is_old = vendor_errors.is_of_old_keys(answer)
                has_changed = is_old and self._keys is not None and self._keys.forget()
            if has_changed:
                self.stores = stores.make(self._options, self._keys, self._relay)
            return has_changed

    def _take_relay(self) -> bool:
        """Go around the TLS of obstore, where `ca=` is given and OpenSSL takes the certificate."""
        options = self._options
        if options.ca_file is None or self._relay is not None:
            return False
        from deepseek_storage_s3 import certificates, tls_relay

        endpoint, context = stores.endpoint_of(options), certificates.context(options.ca_file)
        try:
            self._refusal = tls_relay.refusal(endpoint, context, stores.connect_s(options))
        except OSError:
            return False
        if self._refusal is None:
            self._relay = tls_relay.Relay(endpoint, context, options.timeout_s)
        return self._relay is not None

    def _wait(self, what: str, found: Answer | KeyTrouble, failed: int, start_s: float) -> None:
        """Wait until the next try.

        Raises:
            StorageError: there is none.
        """
        now_s = time.monotonic()
        delay_s = self._policy.delay_s(failed, _chance.random())
        if not _may_pass(found):
            raise self._error(what, found, "")
        refusal = self._policy.refusal(failed, now_s - start_s, delay_s)
        if refusal is None and not self._budget.take(now_s):
            refusal = "the budget of retries is used up"
        if refusal is not None:
            tries = f", {failed} tries in {now_s - start_s:.1f} s ({refusal})"
            raise self._error(what, found, tries)
        _log.debug("%s: %s: %s; again in %.2f s", self._url, what, found, delay_s)
        time.sleep(delay_s)

    def _error(self, what: str, found: Answer | KeyTrouble, tries: str) -> errors.DeepSeekError:
        options = self._options
        ca = None if options.ca_file is None else str(options.ca_file)
        request = vendor_errors.FailedRequest(url=self._url, what=what, tries=tries, ca=ca)
        if isinstance(found, KeyTrouble):
            assert self._keys is not None
            return vendor_errors.of_keys(found, self._keys.words, request)
        if found.kind == "certificate" and self._refusal:
            found = attrs.evolve(found, cause=self._refusal)
        if vendor_errors.is_elsewhere(found) and not found.region:
            from deepseek_storage_s3 import bucket_region

            found = attrs.evolve(found, region=bucket_region.look_up(options))
        return vendor_errors.of_answer(found, request)


def _may_pass(found: Answer | KeyTrouble) -> bool:
    if isinstance(found, KeyTrouble):
        return found.is_passing
    return vendor_errors.is_retryable(found)


def _failures() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return BaseError, FileNotFoundError, OSError
