"""Elements of small tensors: what a file holds, and arithmetic on sizes.

An element is an int, a float that is a whole number, a Term, or None for what is not known. What
does not depend on n but can't be computed becomes an atom named by its expression. An atom made
by an operator that has one meaning for integers and one for reals is a signed one, and a Cast
renames those: so equal atoms are equal values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from deepseek_onnx.batching.sizes import Dim, Term, expression, is_size, over, power, times
from deepseek_onnx.batching.states import LARGEST_CONTENT, Content, Element
from deepseek_onnx.protos import TensorProto

# Shapes are computed in these types; what wraps around in narrower ones is not followed.
_INTEGERS: Final = frozenset((TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL))
_REALS: Final = frozenset((TensorProto.FLOAT, TensorProto.DOUBLE))
_STORED: Final = {
    TensorProto.INT64: ("int64_data", "<i8"),
    TensorProto.INT32: ("int32_data", "<i4"),
    TensorProto.BOOL: ("int32_data", "?"),
    TensorProto.FLOAT: ("float_data", "<f4"),
    TensorProto.DOUBLE: ("double_data", "<f8"),
}
# The largest results that every one of the types holds as they are.
_LARGEST_INTEGER: Final = 2**31 - 1
_LARGEST_REAL: Final = 2**24


def read_content(tensor: TensorProto) -> Content | None:
    """The elements of a small tensor of numbers; None where they are not at hand."""
    if tensor.data_type not in _INTEGERS and tensor.data_type not in _REALS:
        return None
    if math.prod(tensor.dims) > LARGEST_CONTENT or tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        array = _array(tensor)
    except (ValueError, TypeError):
        # Its data was stripped.
        return None
    return as_content(array)


def _array(tensor: TensorProto) -> Any:
    """The same as `onnx.numpy_helper.to_array`, whose import takes longer than a proof."""
    field, dtype = _STORED[tensor.data_type]
    if tensor.HasField("raw_data"):
        flat = np.frombuffer(tensor.raw_data, dtype)
    else:
        flat = np.array(getattr(tensor, field), dtype)
    return flat.reshape(tuple(tensor.dims))


def as_content(array: Any) -> Content | None:
    """A numpy array as elements, None where one is not finite."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    content: Content = np.empty(array.shape, dtype=object)
    for place, value in enumerate(array.reshape(-1).tolist()):
        content.reshape(-1)[place] = _number(value)
    return content


def filled(shape: tuple[int, ...], element: Element) -> Content:
    """Elements that are all the same."""
    content: Content = np.empty(shape, dtype=object)
    content.reshape(-1)[:] = [element] * content.size
    return content


def row(elements: list[Element]) -> Content:
    """Elements of a tensor of rank 1."""
    content: Content = np.empty(len(elements), dtype=object)
    content[:] = elements
    return content


def _number(value: Any) -> Element:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not value.is_integer():
        return expression(repr(value), is_size=False)
    return value


def depends_on_n(content: Content) -> bool:
    """Whether an element has n in it, or may have."""
    return any(
        element is None or (element.__class__ is Term and element.power)
        for element in content.reshape(-1)
    )


def as_integers(content: Content) -> list[int] | None:
    """The elements as plain integers, None unless all of them are."""
    elements = content.reshape(-1).tolist()
    return elements if all(isinstance(element, int) for element in elements) else None


def add(a: Element, b: Element) -> Element:
    """The sum."""
    if a is None or b is None:
        return None
    if _are_numbers(a, b):
        return _held(a + b, f"{a}+{b}")
    a, b = _whole(a), _whole(b)
    for one, other in ((a, b), (b, a)):
        if one == 0:
            return other
    if isinstance(a, Term) and isinstance(b, Term) and (a.power, a.atoms) == (b.power, b.atoms):
        return times(a.coefficient + b.coefficient, Term(1, a.power, a.atoms))
    first, second = sorted((str(a), str(b)))
    return _of_no_item(f"{first}+{second}", a, b, whole=is_size(a) and is_size(b))


def subtract(a: Element, b: Element) -> Element:
    """The difference."""
    return add(a, multiply(-1, b))


def multiply(a: Element, b: Element) -> Element:
    """The product."""
    if a is None or b is None:
        return None
    if _are_numbers(a, b):
        return _held(a * b, f"{a}*{b}")
    return times(_whole(a), _whole(b))


def divide(a: Element, b: Element) -> Element:
    """The quotient, of integers or of reals."""
    if a is None or b is None:
        return None
    exact = over(_whole(a), _whole(b))
    if exact is not None:
        return float(exact) if isinstance(a, float) and isinstance(exact, int) else exact
    if isinstance(a, int) and isinstance(b, int) and b:
        # Integers: ONNX truncates.
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient
    return _of_no_item(f"{a}/{b}", a, b)


def modulo(a: Element, b: Element) -> Element:
    """The remainder."""
    if isinstance(a, int) and isinstance(b, int) and a >= 0 and b > 0:
        return a % b
    return _of_no_item(f"{a}%{b}", a, b)


def _choose(name: str, pick: Callable[..., Any]) -> Callable[[Element, Element], Element]:
    def choose(a: Element, b: Element) -> Element:
        if a is not None and a == b:
            return a
        if a is not None and b is not None and _are_numbers(a, b):
            return pick(a, b)
        first, second = sorted((str(a), str(b)))
        return _of_no_item(f"{name}({first},{second})", a, b)

    return choose


smaller: Final = _choose("min", min)
larger: Final = _choose("max", max)


def equal(a: Element, b: Element) -> Element:
    """1 where they are equal, 0 where they differ in every run."""
    if a is None or b is None:
        return None
    if a == b:
        return 1
    if _are_numbers(a, b):
        return 0
    for one, other in ((a, b), (b, a)):
        # No size is negative.
        if isinstance(one, int) and one < 0 and is_size(other):
            return 0
    return _of_no_item(f"{a}={b}", a, b)


def _compare(name: str, holds: Callable[..., bool]) -> Callable[[Element, Element], Element]:
    def compare(a: Element, b: Element) -> Element:
        if a is not None and b is not None and _are_numbers(a, b):
            return int(holds(a, b))
        return _of_no_item(f"{a}{name}{b}", a, b)

    return compare


less: Final = _compare("<", lambda a, b: a < b)
less_or_equal: Final = _compare("<=", lambda a, b: a <= b)
both: Final = _compare("&", lambda a, b: bool(a and b))
either: Final = _compare("or", lambda a, b: bool(a or b))


def negate(a: Element) -> Element:
    """The logical opposite."""
    return int(not a) if isinstance(a, int) else _of_no_item(f"not {a}", a)


def where(condition: Element, a: Element, b: Element) -> Element:
    """The first where the condition is 1, the second where it is 0."""
    if isinstance(condition, int):
        return a if condition else b
    if a is not None and a == b:
        return a
    return _of_no_item(f"{condition}?{a}:{b}", condition, a, b)


def cast(content: Content, elem_type: int) -> Content | None:
    """The elements in another type, None where that type may not hold them."""
    convert: Callable[[Any], Any] = float if elem_type in _REALS else int
    if elem_type == TensorProto.BOOL:
        convert = bool
    elif elem_type not in _REALS and elem_type not in (TensorProto.INT64, TensorProto.INT32):
        return None
    result = row([_cast(element, convert, elem_type) for element in content.reshape(-1)])
    return result.reshape(content.shape)


def _cast(element: Element, convert: Callable[[Any], Any], elem_type: int) -> Element:
    if element is None:
        return None
    if isinstance(element, int | float):
        value = convert(element)
        return int(value) if convert is bool else _held(value, f"to {elem_type}: {element}")
    if is_size(element) and convert is not bool:
        return element
    return _of_no_item(f"to {elem_type}: {element}", element)


def _of_no_item(text: str, *operands: Element, whole: bool = False) -> Element:
    """The value of an expression; None where n has a part in it."""
    if any(
        operand is None or (isinstance(operand, Term) and power(operand)) for operand in operands
    ):
        return None
    return expression(text, is_size=whole)


def _held(number: Element, text: str) -> Element:
    """A result, unless a type of tensors may not hold it as it is."""
    largest = _LARGEST_REAL if isinstance(number, float) else _LARGEST_INTEGER
    return number if abs(number) <= largest else expression(text, is_size=False)


def _are_numbers(a: Element, b: Element) -> bool:
    return not (isinstance(a, Term) or isinstance(b, Term))


def _whole(element: Element) -> Dim:
    return element if isinstance(element, Term) else int(element)
