"""Sizes as monomials of the number of items.

Legend: n the number of items; a size is an int, or coefficient * n^power * atoms, where an atom is
a size that does not depend on n: a symbol of the file, or what can't be computed.

Two sizes are equal for certain when they are the same monomial. Different monomials may still be
equal in a run; nothing is concluded from a difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

# Longer expressions are named by their digest, so that names do not double from node to node.
_LONGEST_NAME: Final = 64
# No tensor has more axes or elements than such a product: beyond it a file means harm.
_MOST_FACTORS: Final = 64
_LARGEST: Final = 2**63
# Marks an atom that may be negative or a fraction; all others are sizes.
_SIGNED: Final = "±"


@attrs.frozen
class Term:
    """A size that is not a plain number; equal terms are equal numbers."""

    coefficient: int
    power: int
    atoms: tuple[str, ...]

    def __str__(self) -> str:
        return "*".join((str(self.coefficient), *("n" for _ in range(self.power)), *self.atoms))


Dim = int | Term

ITEMS: Final = Term(1, 1, ())


def symbol(name: str) -> Term:
    """The size that a file calls `name`."""
    return Term(1, 0, (repr(name),))


def expression(text: str, *, is_size: bool) -> Term:
    """The value of an expression that does not depend on n; equal texts are equal values.

    `is_size` says that it can't be negative or a fraction.
    """
    if len(text) > _LONGEST_NAME:
        import hashlib  # few models have such sizes

        text = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Term(1, 0, (f"({text})" if is_size else f"{_SIGNED}({text})",))


def capped(size: Term, limit: int) -> Term:
    """A size, or the limit if that is less: what is left of an axis cut at that size."""
    return expression(f"{size} at most {limit}", is_size=True)


def times(a: Dim, b: Dim) -> Dim:
    """The product of two sizes.

    Raises:
        OverflowError: it is none of a tensor.
    """
    (ca, pa, sa), (cb, pb, sb) = _parts(a), _parts(b)
    if abs(ca * cb) >= _LARGEST or pa + pb + len(sa) + len(sb) > _MOST_FACTORS:
        raise OverflowError("a size is too large")
    return _dim(ca * cb, pa + pb, tuple(sorted(sa + sb)))


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a tensor with these sizes."""
    total: Dim = 1
    for dim in dims:
        total = times(total, dim)
    return total


def over(a: Dim, b: Dim) -> Dim | None:
    """The quotient where b divides a as a monomial, else None."""
    (ca, pa, sa), (cb, pb, sb) = _parts(a), _parts(b)
    if cb == 0 or ca % cb or pa < pb:
        return None
    rest = list(sa)
    for atom in sb:
        if atom not in rest:
            return None
        rest.remove(atom)
    return _dim(ca // cb, pa - pb, tuple(rest))


def power(dim: Dim) -> int:
    """How often n is a factor."""
    return dim.power if isinstance(dim, Term) else 0


def per_item(dim: Dim) -> Dim:
    """What each item has of a size that n divides."""
    inner = over(dim, ITEMS)
    assert inner is not None
    return inner


def is_size(dim: Dim) -> bool:
    """Whether it is certain to be a whole number that is not negative."""
    if isinstance(dim, Term):
        return dim.coefficient > 0 and not any(atom.startswith(_SIGNED) for atom in dim.atoms)
    return dim >= 0


def wider(a: Dim, b: Dim) -> Dim:
    """The size of two broadcast against each other; if n is in one, the other is 1 or the same."""
    if b in (a, 1):
        return a
    if a == 1:
        return b
    for dim, other in ((a, b), (b, a)):
        # The other one must be 1 or equal to it.
        if isinstance(dim, int) or _is_capped(other, dim):
            return dim
    return expression("|".join(sorted((str(a), str(b)))), is_size=True)


def _is_capped(capped_dim: Dim, dim: Dim) -> bool:
    """Whether a size is another one or a limit: broadcast against it, it must not be less."""
    _, _, atoms = _parts(capped_dim)
    if len(atoms) != 1 or capped_dim != Term(1, 0, atoms):
        return False  # several times as much
    return atoms[0].startswith(f"({dim} at most ")


def _parts(dim: Dim) -> tuple[int, int, tuple[str, ...]]:
    if isinstance(dim, int):
        return dim, 0, ()
    return dim.coefficient, dim.power, dim.atoms


def _dim(coefficient: int, exponent: int, atoms: tuple[str, ...]) -> Dim:
    if coefficient == 0 or not (exponent or atoms):
        return coefficient
    return Term(coefficient, exponent, atoms)
