"""Stripes as the index keeps them: the code, and where each fragment lies."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final

import attrs
import xxhash

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.stripes.fragment import (
    BadFragment,
    TierName,
    pack_code,
    payload_lengths,
    payload_start,
    unpack_code,
)
from deepseek_store.stripes.layout import Place

FOLDER: Final = "stripes"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BBQQd7sHI")  # version, tier, id, generation, created_s, ...
_ENTRY: Final = struct.Struct("<HQQQQ?HH")
_HASH: Final = struct.Struct("<Q")
_TIERS: Final[tuple[TierName, ...]] = ("hot", "warm", "cold")


@attrs.frozen(kw_only=True)
class FragmentPlace:
    """Where one fragment lies, and what it is; `nbytes` and `xxh3` are of its payload.

    Zero bytes: a data fragment that is all zeros and lies nowhere. No key though it has bytes:
    it is lost. No `xxh3`: it is not known, as its header is lost.
    """

    tier: int = 0
    domain: str = ""
    key: str = ""
    nbytes: int = 0
    segment: int = 0
    xxh3: int | None = None
    generation: int = 0

    @property
    def place(self) -> Place:
        """Failure domain of the fragment."""
        return Place(tier=self.tier, domain=self.domain)


def _as_tuple(fragments: Iterable[FragmentPlace]) -> tuple[FragmentPlace, ...]:
    return tuple(fragments)


def _check_fragments(stripe: Stripe, _field: object, fragments: tuple[FragmentPlace, ...]) -> None:
    code = stripe.code
    if len(fragments) != code.n:
        raise errors.InputError(f"{len(fragments)} fragments for {code.name}, not {code.n}")
    lengths = [fragment.nbytes for fragment in fragments]
    width = sum(nbytes > 0 for nbytes in lengths[: code.k])
    right = payload_lengths(code, lengths[: code.k])
    same = [bool(nbytes) for nbytes in lengths] == [bool(nbytes) for nbytes in right]
    if not width or 0 in lengths[:width] or not same or max(lengths) != max(right):
        raise errors.InputError(
            f"stripe {stripe.id:x} of {code.name} has fragments of {lengths} bytes",
            remedy="segments come first, then zeros; parities are as long as what they cover",
        )


@attrs.frozen(kw_only=True)
class Stripe:
    """Segments and their parities, one fragment for each index of the code.

    `generation` rises with every repair; a fragment keeps the one that it was written in.
    """

    id: int
    generation: int = 1
    tier: TierName = "cold"
    code: Code
    created_s: float = 0.0
    fragments: tuple[FragmentPlace, ...] = attrs.field(
        converter=_as_tuple, validator=_check_fragments
    )

    @property
    def nbytes(self) -> int:
        """The longest payload, to which all others are padded in the parity math."""
        return max(fragment.nbytes for fragment in self.fragments)

    @property
    def width(self) -> int:
        """Data fragments that are stored; those from there to `code.k` are zeros."""
        return sum(fragment.nbytes > 0 for fragment in self.fragments[: self.code.k])

    @property
    def virtual(self) -> tuple[int, ...]:
        """Indexes of the fragments that are all zeros and lie nowhere."""
        return tuple(index for index, each in enumerate(self.fragments) if not each.nbytes)

    @property
    def stored(self) -> tuple[int, ...]:
        """Indexes of the fragments that lie somewhere, as far as is known."""
        return tuple(index for index, each in enumerate(self.fragments) if each.key)

    @property
    def lost(self) -> tuple[int, ...]:
        """Indexes of the fragments that should lie somewhere and do not."""
        return tuple(
            index for index, each in enumerate(self.fragments) if each.nbytes and not each.key
        )

    @property
    def object_nbytes(self) -> int:
        """All bytes of its objects, headers and tables counted."""
        stored, width = self.stored, self.width
        starts = sum(payload_start(self.code, width, index) for index in stored)
        return starts + sum(self.fragments[index].nbytes for index in stored)

    def payload_start(self, index: int) -> int:
        """Where the payload starts in the object of a fragment."""
        return payload_start(self.code, self.width, index)

    def index_of(self, segment: int) -> int:
        """The index of the fragment that holds a segment.

        Raises:
            InputError: it is not in this stripe.
        """
        for index, fragment in enumerate(self.fragments[: self.code.k]):
            if fragment.segment == segment and fragment.nbytes:
                return index
        raise errors.InputError(f"segment {segment:x} is not in stripe {self.id:x}")

    def with_fragments(self, changed: dict[int, FragmentPlace], generation: int) -> Stripe:
        """The stripe with some of its fragments elsewhere."""
        fragments = tuple(changed.get(i, each) for i, each in enumerate(self.fragments))
        return attrs.evolve(self, fragments=fragments, generation=generation)

    def to_bytes(self) -> bytes:
        """A compact form for the index; with its own hash."""
        body = zlib.compress(b"".join(map(_pack_place, self.fragments)), 6)
        tier = _TIERS.index(self.tier)
        head = _HEAD.pack(
            _VERSION, tier, self.id, self.generation, self.created_s,
            pack_code(self.code), len(self.fragments), len(body),
        )  # fmt: skip
        return head + body + _HASH.pack(xxhash.xxh3_64_intdigest(head + body))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Stripe:
        """The stripe of `to_bytes`.

        Raises:
            InputError: other bytes than those.
        """
        data = bytes(data)
        whole, said = data[: -_HASH.size], data[-_HASH.size :]
        if len(whole) < _HEAD.size or _HASH.pack(xxhash.xxh3_64_intdigest(whole)) != said:
            raise errors.InputError(f"{len(data)} bytes that are no stripe")
        version, tier, number, generation, created_s, code, count, _ = _HEAD.unpack_from(whole)
        if version != _VERSION:
            raise errors.InputError(
                f"a stripe of version {version}; this reads {_VERSION}",
                remedy="open it with the release that wrote it, or run `ds-sdk store rebuild HOME`",
            )
        try:
            return cls(
                id=number, generation=generation, tier=_TIERS[tier],
                created_s=created_s, code=unpack_code(code),
                fragments=_unpack_places(zlib.decompress(whole[_HEAD.size :]), count),
            )  # fmt: skip
        except (BadFragment, IndexError, struct.error, UnicodeDecodeError, zlib.error) as error:
            raise errors.InputError(f"a stripe that can't be read: {error}") from error


def folder_of(domain: str) -> str:
    """Where the stripes of a domain lie, a `/` at the end."""
    return f"{domain}/{FOLDER}/" if domain else f"{FOLDER}/"


def fragment_key(domain: str, stripe: int, index: int, generation: int) -> str:
    """The key of a fragment: no two generations share one, so that nothing is overwritten."""
    return f"{folder_of(domain)}{stripe:016x}/{index:03d}.{generation:x}"


def parse_key(domain: str, key: str) -> tuple[int, int, int] | None:
    """Stripe, index and generation that a key names; None if it is not a fragment's."""
    stripe, _, rest = key.removeprefix(folder_of(domain)).partition("/")
    index, _, generation = rest.partition(".")
    try:
        named = int(stripe, 16), int(index), int(generation, 16)
    except ValueError:
        return None
    return named if fragment_key(domain, *named) == key else None


def _pack_place(place: FragmentPlace) -> bytes:
    key, domain = place.key.encode(), place.domain.encode()
    known = place.xxh3 is not None
    entry = _ENTRY.pack(
        place.tier, place.generation, place.nbytes, place.segment, place.xxh3 or 0, known,
        len(key), len(domain),
    )  # fmt: skip
    return entry + key + domain


def _unpack_places(body: bytes, count: int) -> tuple[FragmentPlace, ...]:
    places = []
    at = 0
    for _ in range(count):
        tier, generation, nbytes, segment, xxh3, known, key, domain = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        text = body[at : at + key + domain]
        at += len(text)
        places.append(
            FragmentPlace(
                tier=tier,
                generation=generation,
                nbytes=nbytes,
                segment=segment,
                xxh3=xxh3 if known else None,
                key=text[:key].decode(),
                domain=text[key:].decode(),
            )
        )
    return tuple(places)
