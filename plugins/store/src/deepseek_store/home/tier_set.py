"""The tiers of an open store: connected when needed, numbered as configured."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core import DeepSeekError, Tier, TierProfile, errors, open_tier
from deepseek_store import handles
from deepseek_store.commands import command
from deepseek_store.errors import ForeignStore, ReadOnlyStore, again
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.numbers import Marks
from deepseek_store.home.owner_epochs import Owner, tier_name
from deepseek_store.stripes.fragment import HEADER_NBYTES, BadFragment, parse_header
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import folder_of, parse_key
from deepseek_store.stripes.stripe_io import StripeIO

_LOG: Final = logging.getLogger(__name__)
# A tier that could not be opened is tried again after so long, and for a small share of the time.
_RETRY_S: Final = 5.0
_RETRY_SHARE: Final = 10.0

Opener = Callable[[str], Tier]
"""Opens the tier of a URL, in place of the plugins."""


class TierSet:
    """Opens a store's tiers and reads and writes stripes on them.

    `owner`: who takes them before something is written; without one they can only be read, and
    `refusal` says why.
    """

    def __init__(
        self,
        config: StoreConfig,
        owner: Owner | None = None,
        *,
        home: Path,
        refusal: ReadOnlyStore | None = None,
        opener: Opener | None = None,
    ) -> None:
        self._config, self._owner, self._refusal = config, owner, refusal
        self._opener = opener or open_tier
        self.home = home
        self._opening = threading.Lock()
        self._stripes: StripeIO | None = None
        # by number in the configuration; None: can't be used
        self._tiers: tuple[Tier | None, ...] = ()
        self._capacities: dict[str, int | None] = {}  # bytes, by the tier's name
        self._retry_s = -float("inf")  # when those that failed are tried again (monotonic)
        self._told: Callable[[int, str], None] = lambda _number, _why: None
        self.failed: dict[int, str] = {}
        """Why a tier can't be used: reads go around it, as far as the codes bear that."""

    @property
    def tiers(self) -> Sequence[Tier | None]:
        """All of them; None for one that can't be reached.

        Raises:
            ConfigError: no plugin opens one of the URLs.
        """
        if self.failed:
            self.reopen()
        self._open()
        return self._tiers

    def tier(self, number: int) -> Tier:
        """One of them.

        Raises:
            TierUnavailable: it can't be reached.
        """
        found = self.tiers[number]
        if found is None:
            url, why = self._config.tiers[number].url, self.failed[number]
            raise errors.TierUnavailable(
                why if why.startswith(url) else f"{url}: {why}",
                url=url,
                remedy="ds-sdk doctor; then open it again",
            )
        return found

    @property
    def stripes(self) -> StripeIO:
        """Reads and writes fragments on the tiers."""
        if self.failed:
            self.reopen()
        return self._stripes or self._open()

    def watch(self, told: Callable[[int, str], None]) -> None:
        """Have a function told of tiers that can't be opened, and why; "" when one is back."""
        self._told = told

    def url_of(self, place: Place) -> str:
        """A failure domain as people write it."""
        url = self._config.tiers[place.tier].url
        return f"{url} ({place.domain})" if place.domain else url

    def reopen(self, *, now: bool = False) -> None:
        """Try the tiers again that could not be opened, if it is time, or `now`."""
        if not self.failed or not (now or time.monotonic() >= self._retry_s):
            return
        if not self._opening.acquire(blocking=now):
            return  # somebody tries already; readers go around it meanwhile
        try:
            start_s = time.monotonic()
            for number in list(self.failed):
                self._reopen_one(number)
            took_s = time.monotonic() - start_s
            self._retry_s = start_s + took_s + max(_RETRY_S, took_s * _RETRY_SHARE)
        finally:
            self._opening.release()

    def _reopen_one(self, number: int) -> None:
        stripes, tier = self._stripes, self._open_one(number)
        if tier is None:
            return
        if stripes is None:
            tier.close()
            return
        opened = list(self._tiers)
        opened[number] = tier
        self._tiers = tuple(opened)
        stripes.replace_tier(number, tier)
        del self.failed[number]

    def places(self, tier: str) -> tuple[Place, ...]:
        """The failure domains of a tier.

        Raises:
            ConfigError: the store has no such tier.
        """
        numbers = self._config.of(tier)
        if not numbers:
            raise errors.ConfigError(
                f"the store has no {tier} tier",
                remedy=f"{command('add-tier', self.home)} --{tier} URL",
            )
        return self.stripes.places(numbers)

    def profile(self, tier: str) -> TierProfile | None:
        """What the first URL of a tier that answers says of itself; None if it has none.

        Raises:
            TierUnavailable: none of them can be reached.
        """
        numbers = self._config.of(tier)
        if not numbers:
            return None
        able = [number for number in numbers if self.tiers[number] is not None]
        return handles.patiently(self.tier((able or numbers)[0]).profile)

    def capacities(self) -> dict[str, int | None]:
        """Bytes that each tier can hold, as it said when it was opened; none is asked now."""
        return {one.name: self._capacities.get(one.name) for one in self._config.tiers}

    def promised_nines(self, tier: str) -> float | None:
        """The durability that all URLs of a tier promise by themselves."""
        tiers = [self.tier(number) for number in self._config.of(tier)]
        promised = [handles.patiently(one.profile).nines for one in tiers]
        known = [nines for nines in promised if nines is not None]
        return min(known) if known and len(known) == len(promised) else None

    def opened(self, number: int) -> Tier:
        """A tier, opened once more and known by its mark: for one who closes it.

        Raises:
            ForeignStore: it is another place, such as the folder of a disk that is not mounted.
            TierUnavailable: it can't be reached.
        """
        tier = self._opener(self._config.tiers[number].url)
        try:
            self._check_mark(tier, number)
        except BaseException:
            tier.close()
            raise
        return tier

    def own(self, *, by_force: bool = False, anew: bool = False) -> None:
        """Make sure that all tiers that can be reached are this home's: before every change.

        `by_force`: whoever had them before. `anew`: let their marks tell of the numbers of now.

        Raises:
            NotOwner: a copy of this home has taken one.
            IndexOutdated: one has stripes of later than this store's index.
            ReadOnlyStore: the store is open for reading only.
        """
        if self._owner is None:
            raise again(self._refusal)
        for number, tier in enumerate(self.tiers):
            if tier is not None:
                self._own(self._owner, number, tier, by_force=by_force, anew=anew)

    def check_owner(self) -> None:
        """Make sure that no other home has taken a tier; nothing is taken.

        Raises:
            NotOwner: one has.
        """
        for number, tier in enumerate(self.tiers):
            if tier is not None and self._owner is not None:
                with suppress(errors.TierUnavailable):
                    self._owner.check(tier_name(number), tier)

    def promised(self) -> Marks:
        """How far the numbers of whoever took a tier last can have come."""
        return self._marks(lambda owner, tier: owner.numbers_at(tier))

    def told(self) -> Marks:
        """The numbers of whoever took a tier last, as they were then."""
        return self._marks(lambda owner, tier: owner.told(tier))

    def _marks(self, ask: Callable[[Owner, Tier], Marks]) -> Marks:
        found = Marks()
        for tier in self.tiers if self._owner is not None else ():
            if tier is not None and self._owner is not None:
                with suppress(errors.TierUnavailable):
                    found |= ask(self._owner, tier)
        return found

    def _own(self, owner: Owner, number: int, tier: Tier, *, by_force: bool, anew: bool) -> None:
        try:
            if not by_force:
                self.check_stripes(owner, number, tier)
            owner.claim(tier_name(number), tier, by_force=by_force, anew=anew)
        except errors.TierUnavailable as error:
            # What is to be written there will fail by itself; the others must not wait for it.
            _LOG.warning("whose %s is can't be asked: %s", tier.url, error)

    def check_stripes(self, owner: Owner, number: int, tier: Tier) -> None:
        """Make sure of a tier that this home never took: it has no stripe of later than the index.

        Raises:
            NotOwner: another home has taken it.
            IndexOutdated: it has such a stripe.
        """
        if not owner.holds(tier_name(number)):
            owner.check(tier_name(number), tier)
            owner.check_stripes(tier.url, self._highest_stripe(tier))

    def _highest_stripe(self, tier: Tier) -> int:
        """Highest number of this store's stripes, by the keys alone."""
        highest = 0
        for domain in tier.failure_domains or ("",):
            for stat in tier.list(folder_of(domain)):
                named = parse_key(domain, stat.key)
                if named is not None and named[0] > highest and self._is_ours(tier, stat.key):
                    highest = named[0]
        return highest

    def _is_ours(self, tier: Tier, key: str) -> bool:
        try:
            header = parse_header(tier.get(key, 0, HEADER_NBYTES))
        except (BadFragment, errors.ObjectMissing):
            return False
        return header.store == self._config.store_id

    def close(self) -> None:
        """Let go of all."""
        with self._opening:
            stripes, self._stripes = self._stripes, None
            tiers, self._tiers = self._tiers, ()
        if stripes is not None:
            stripes.close()
        for tier in tiers:
            if tier is not None:
                tier.close()

    def _open(self) -> StripeIO:
        with self._opening:
            if self._stripes is None:
                opened: list[Tier | None] = []
                try:
                    opened.extend(map(self._open_one, range(len(self._config.tiers))))
                except BaseException:
                    for tier in filter(None, opened):
                        tier.close()
                    raise
                self._tiers = tuple(opened)
                self._stripes = StripeIO(
                    opened,
                    self._config.store_id,
                    urls=[tier.url for tier in self._config.tiers],
                    why_away=self.failed,
                )
                self._retry_s = time.monotonic() + _RETRY_S
            return self._stripes

    def _open_one(self, number: int) -> Tier | None:
        try:
            tier = self.opened(number)
        except errors.StorageError as error:
            if self.failed.get(number) != error.message:
                _LOG.warning("a tier can't be used: %s", error)
                self._told(number, error.message)
            self.failed[number] = error.message
            return None
        self._told(number, "")
        name = self._config.tiers[number].name
        if self._capacities.get(name) is None:
            with suppress(DeepSeekError):
                self._capacities[name] = tier.profile().capacity_nbytes
        return tier

    def _check_mark(self, tier: Tier, number: int) -> None:
        try:
            found = tier.get(mark_key(self._config))
        except errors.ObjectMissing:
            why = "it does not know this store: a disk that is not mounted, or another place"
        else:
            if found == mark_content(number):
                return
            why = "it is another tier of this store: URLs were exchanged"
        raise ForeignStore(
            f"{tier.url}: {why}",
            url=tier.url,
            remedy="mount it, or set its URL right in store.json",
        )


def mark_tiers(config: StoreConfig, opener: Opener | None = None) -> None:
    """Put the mark of a store on each of its tiers, by which it knows them again.

    Without it, the empty folder where a disk was mounted would pass for the tier.

    Raises:
        ConfigError: no plugin opens one of the URLs.
        ForeignStore: one is the place of another tier of this store.
        StorageError: one can't be written to.
    """
    for number, tier in enumerate(config.tiers):
        with (opener or open_tier)(tier.url) as opened:
            if opened.put_if_absent(mark_key(config), mark_content(number)):
                continue
            if opened.get(mark_key(config)) != mark_content(number):
                raise ForeignStore(
                    f"{tier.url}: it is another tier of this store",
                    url=tier.url,
                    remedy="choose a place that the store does not have",
                )


def unmark_tiers(config: StoreConfig, opener: Opener | None = None, *, first: int = 0) -> None:
    """Take the marks away again, of tiers from `first` on that did not come to be."""
    for number, tier in list(enumerate(config.tiers))[first:]:
        with suppress(DeepSeekError), (opener or open_tier)(tier.url) as opened:
            # That of another tier stays: its place may have been named once more.
            if opened.get(mark_key(config)) == mark_content(number):
                opened.delete(mark_key(config))


def mark_key(config: StoreConfig) -> str:
    """Where the mark lies on each tier."""
    return f"stores/{config.store_id.hex()}"


def mark_content(number: int) -> bytes:
    """What it says: which of the store's tiers this is."""
    return b"tier %d\n" % number
