"""Every injected fault is found as what it is, and repaired within the code's limit."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stripes_kit import (
    OTHER_STORE,
    STORE,
    WatchedTier,
    flipped,
    payload_of,
    random_segments,
    watched,
    write,
)

from deepseek_core import Tier, errors, open_tier
from deepseek_store.codes import Code
from deepseek_store.errors import Unrecoverable
from deepseek_store.stripes import Stripe, StripeIO, superseded

CODES = ("replication(3)", "rs(6,3)", "lrc(12,2,2)")


class Yard:
    """Stripes of one store in a tier, and of another store to take fragments from."""

    def __init__(self, tier: WatchedTier, seed: int) -> None:
        self.tier = tier
        self.rng = random.Random(seed)
        self.io = StripeIO([tier], STORE, threads=2)
        self.segments: dict[int, list[tuple[int, bytes]]] = {}
        self.stripes = {number: self._write(self.io, number) for number in range(1, 13)}
        stranger_tier = watched(f"{tier.inner.name}-stranger", 20)
        with StripeIO([stranger_tier], OTHER_STORE) as stranger:
            self.alike = {
                number: write(stranger, number, self.segments[number], stripe.code.name)
                for number, stripe in self.stripes.items()
            }
        self.foreign = stranger_tier.content()
        self.sound: dict[int, bytes] = {}
        self.older: dict[tuple[int, int], bytes] = {}

    def _write(self, io: StripeIO, number: int) -> Stripe:
        code = Code.parse(CODES[number % len(CODES)])
        segments = random_segments(
            self.rng, self.rng.randint(1, code.k), 600, first=100 * number, even=number % 2 == 0
        )
        self.segments[number] = segments
        return write(io, number, segments, code.name)

    def inject(self, stripe: Stripe, index: int, kind: str) -> str:
        """Do it to a fragment; what `check` has to call it."""
        place = stripe.fragments[index]
        data = self.tier.inner.get(place.key)
        start = stripe.payload_start(index)
        if kind == "missing":
            self.tier.inner.delete(place.key)
        elif kind == "truncated":
            self.tier.replace(place.key, data[: self.rng.randrange(len(data))])
        elif kind == "corrupt-header":
            self.tier.replace(place.key, flipped(data, self.rng.randrange(start)))
        elif kind == "corrupt-payload":
            self.tier.replace(place.key, flipped(data, self.rng.randrange(start, len(data))))
        elif kind == "unreachable":
            self.tier.down.add(place.domain)
        else:
            self.tier.replace(place.key, getattr(self, f"_{kind}")(stripe, index))
            return "swapped"
        return kind

    def _other_stripe(self, stripe: Stripe, index: int) -> bytes:
        """The same index of another stripe of the same code."""
        return self.tier.inner.get(self.rng.choice(self._alike(stripe, index)))

    def _alike(self, stripe: Stripe, index: int) -> list[str]:
        return [
            each.fragments[index].key
            for each in self.stripes.values()
            if each.code == stripe.code and each.id != stripe.id and index in each.stored
        ]

    def _other_index(self, stripe: Stripe, index: int) -> bytes:
        return self.sound[self.rng.choice([i for i in stripe.stored if i != index])]

    def _older_generation(self, stripe: Stripe, index: int) -> bytes:
        return self.older[stripe.id, index]

    def _other_store(self, stripe: Stripe, index: int) -> bytes:
        return self.foreign[self.alike[stripe.id].fragments[index].key]

    def kinds(self, stripe: Stripe, index: int) -> list[str]:
        """The faults that can be made of a fragment."""
        kinds = ["missing", "truncated", "corrupt-header", "corrupt-payload", "unreachable"]
        kinds += ["other_index", "other_store"]
        kinds += ["other_stripe"] * bool(self._alike(stripe, index))
        return kinds + ["older_generation"] * ((stripe.id, index) in self.older)

    def look(self, stripe: Stripe) -> None:
        """Remember the fragments while they are sound."""
        keys = {index: stripe.fragments[index].key for index in stripe.stored}
        self.sound = {index: self.tier.inner.get(key) for index, key in keys.items()}

    def switch(self, stripe: Stripe, repaired: Stripe) -> None:
        """What a store does when its index knows the repaired stripe."""
        self.tier.down.clear()
        for old in superseded(stripe, repaired):
            index = stripe.fragments.index(old)
            self.older[stripe.id, index] = self.sound[index]
        assert not self.io.delete_fragments(superseded(stripe, repaired))
        self.stripes[stripe.id] = repaired


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard(watched("faults", 20), seed=20)
    with yard.io:
        yield yard


def test_a_thousand_of_a_thousand_faults_are_found_and_repaired_bit_exact(yard: Yard) -> None:
    injected: Counter[str] = Counter()
    while injected.total() < 1000:
        stripe = yard.rng.choice(list(yard.stripes.values()))
        yard.look(stripe)
        most = min(stripe.code.tolerance, len(stripe.stored) - 1, 1000 - injected.total())
        right = {}
        for index in yard.rng.sample(stripe.stored, yard.rng.randint(1, most)):
            kind = yard.rng.choice(yard.kinds(stripe, index))
            right[index] = yard.inject(stripe, index, kind)
            injected[kind] += 1
        faults = yard.io.check(stripe)
        assert {fault.index: fault.kind for fault in faults} == right
        assert all(fault.detail for fault in faults)
        repaired = yard.io.repair(stripe, faults)
        yard.switch(stripe, repaired)
        assert not yard.io.check(repaired)
        for index, (_, content) in enumerate(yard.segments[stripe.id]):
            assert payload_of(yard.io, repaired, index) == content
    assert injected.total() == 1000
    assert len(injected) == 9, "a kind was never injected"
    assert min(injected.values()) >= 20


def test_headers_alone_show_all_but_corrupt_payloads(yard: Yard) -> None:
    stripe = yard.stripes[2]
    right = {}
    yard.look(stripe)
    kinds = ["missing", "truncated", "corrupt-header", "corrupt-payload", "unreachable"]
    stored = [*stripe.stored]
    for index, kind in zip(stored, [*kinds, "other_store"], strict=False):
        right[index] = yard.inject(stripe, index, kind)
    found = {fault.index: fault.kind for fault in yard.io.check(stripe, deep=False)}
    assert found == {index: kind for index, kind in right.items() if kind != "corrupt-payload"}


def test_more_bytes_than_were_written_are_a_fault(yard: Yard) -> None:
    stripe = yard.stripes[1]
    key = stripe.fragments[0].key
    yard.tier.replace(key, yard.tier.inner.get(key) + b"more")
    for deep in (True, False):
        (fault,) = yard.io.check(stripe, deep=deep)
        assert (fault.index, fault.kind) == (0, "corrupt-payload")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_beyond_the_limit_it_is_told_and_nothing_is_destroyed(yard: Yard, number: int) -> None:
    stripe = yard.stripes[number]
    lost = []
    for index in yard.rng.sample(stripe.stored, len(stripe.stored)):
        lost.append(index)
        yard.inject(stripe, index, "corrupt-payload")
        if not yard.io.decodable(stripe, lost):
            break
    before = yard.tier.content()
    faults = yard.io.check(stripe)
    with pytest.raises(Unrecoverable) as caught:
        yard.io.repair(stripe, faults)
    assert set(caught.value.lost) == set(lost)
    assert yard.tier.content() == before


@pytest.mark.parametrize("kind", ["other_stripe", "other_index", "other_store"])
def test_a_swapped_fragment_is_not_coded_into_another(yard: Yard, kind: str) -> None:
    stripe = max(yard.stripes.values(), key=lambda each: len(each.stored))
    lost, swapped = stripe.stored[0], stripe.stored[1]
    yard.look(stripe)
    yard.inject(stripe, lost, "missing")
    yard.inject(stripe, swapped, kind)
    # The repair is told of the lost one only, and meets the other.
    faults = [fault for fault in yard.io.check(stripe) if fault.index == lost]
    repaired = yard.io.repair(stripe, faults)
    assert not yard.io.check(repaired)
    assert repaired.fragments[swapped].generation == 2


def open_local(folder: Path, count: int) -> Tier:
    """A folder with failure domains, through the plugin for local disks."""
    try:
        return open_tier(f"{folder.as_uri()}?domains={count}")
    except errors.ConfigError as error:
        pytest.skip(str(error))


def file_of(folder: Path, key: str) -> Path:
    """The file of an object, whatever its name ends in."""
    (path,) = folder.glob(f"{key}*")
    return path


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    data = change(path.read_bytes())
    path.chmod(0o600)
    path.write_bytes(data)


def test_faults_in_real_files_are_found_and_repaired(tmp_path: Path) -> None:
    rng = random.Random(30)
    with open_local(tmp_path, 20) as tier, StripeIO([tier], STORE) as io:
        segments = random_segments(rng, 12, 30_000)
        stripe = write(io, 1, segments, "lrc(12,2,2)")
        other = write(io, 2, random_segments(rng, 12, 30_000, first=50), "lrc(12,2,2)")
        assert not io.check(stripe)
        files = [file_of(tmp_path, each.key) for each in stripe.fragments]
        foreign = file_of(tmp_path, other.fragments[5].key).read_bytes()
        damage(files[5], lambda _: foreign)
        files[8].unlink()
        damage(files[13], lambda data: flipped(data, 200))
        faults = io.check(stripe)
        assert {fault.index: fault.kind for fault in faults} == {
            5: "swapped", 8: "missing", 13: "corrupt-header"
        }  # fmt: skip
        repaired = io.repair(stripe, faults)
        assert not io.check(repaired)
        assert not io.delete_fragments(superseded(stripe, repaired))
        assert io.discover().stripes == (repaired, other)
        for index, (_, content) in enumerate(segments):
            assert payload_of(io, repaired, index) == content
