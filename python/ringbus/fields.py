"""What stands on the right of a field's annotation, and the exact number types that stand on the left.

`Trade.price: float` needs nothing from here. Text, bytes, arrays, decimals and NumPy's own types have to say how much
room they take, and integers may say how little.
"""

from __future__ import annotations

import datetime
import decimal as decimals
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import numpy as np

from ringbus.errors import FieldError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class _Missing:
    """The default of a field that has none."""

    def __repr__(self) -> str:
        return "<no default>"


MISSING: Final = _Missing()

#: NumPy types that the native layer reads and writes itself, by their code.
NATIVE_CODES: Final = frozenset({"f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})

MOST_PLACES: Final = 18
"""The decimal places that an int64 has room for, with at least one digit before the point."""


@dataclass(frozen=True)
class FieldSpec:
    """How a field is stored.

    Attributes:
        kind: what the native layer calls it.
        dtype: the NumPy type, with its shape.
        default: the value when the field is not named; `MISSING` when it has to be.
        places: decimal places, for a decimal.
    """

    kind: str
    dtype: np.dtype[Any]
    default: Any = MISSING
    places: int = 0


def text(size: int, *, default: str | _Missing = MISSING) -> str:
    """Declare a text of at most `size` bytes of UTF-8, stored as NumPy's `S`.

    A longer text is an error, never cut. So is one that ends in a zero character, which pads a shorter text.

    Args:
        size: the room in bytes, not in characters; from 1 on.
        default: the text when the field is not named.
    """
    return cast("str", FieldSpec("text", np.dtype(f"S{_room('text', size)}"), default))


def blob(size: int, *, default: bytes | bytearray | memoryview | _Missing = MISSING) -> bytes:
    """Declare up to `size` bytes, which are read back exactly as long as they were written.

    NumPy sees a structure of `length` (uint32) and `data` (`V<size>`, zeros behind the data).

    Args:
        size: the room in bytes; from 1 on.
        default: the bytes when the field is not named.
    """
    stored = np.dtype([("length", "<u4"), ("data", f"V{_room('blob', size)}")])
    return cast("bytes", FieldSpec("blob", stored, default))


def array(dtype: DTypeLike, shape: int | tuple[int, ...], *, default: ArrayLike | _Missing = MISSING) -> Any:
    """Declare an array of a fixed shape.

    Reading gives a copy. Writing takes whatever `numpy.asarray` makes an array of just this shape from, if its type is
    of the same kind or a narrower one and each integer fits.

    Args:
        dtype: the NumPy type of an element.
        shape: the length, or a length for each axis; from 1 on.
        default: the array when the field is not named.

    Shapes:
        out: `shape`, `dtype`.
    """
    sides = (shape,) if isinstance(shape, int) else tuple(shape)
    if not sides or not all(_is_whole(side) and side > 0 for side in sides):
        raise SchemaError(f"array() takes a shape of positive lengths, got {shape!r}", "write array('f8', 3)")
    base = fixed_dtype(dtype, "array")
    if base.subdtype is not None:
        raise SchemaError(f"array() takes the type of one element, got {base}", "put all axes into the shape")
    return _declared(FieldSpec("array", np.dtype((base, sides)), default))


def field(dtype: DTypeLike, *, default: Any = MISSING) -> Any:
    """Declare a field of any NumPy type of a fixed size, `datetime64[ns]` included.

    Numbers and bool are read as Python's own, everything else as NumPy's scalar. With an enumeration as annotation, it
    says how the number of the member is stored.

    Args:
        dtype: the NumPy type: little-endian, without objects.
        default: the value when the field is not named.
    """
    stored = fixed_dtype(dtype, "field")
    if stored.subdtype is not None:
        base, shape = stored.subdtype
        return _declared(FieldSpec("array", np.dtype((base, shape)), default))
    return _declared(FieldSpec(native_kind(stored), stored, default))


def decimal(places: int, *, default: decimals.Decimal | int | _Missing = MISSING) -> decimals.Decimal:
    """Declare a decimal of exactly `places` places, kept as a scaled int64.

    Writing takes a Decimal or an int, and refuses what it cannot keep exactly. Reading gives a Decimal with `places`
    places.

    Args:
        places: from 0 to 18; 8 leave room for 92 billion.
        default: the number when the field is not named.
    """
    if not _is_whole(places) or not 0 <= places <= MOST_PLACES:
        raise SchemaError(f"decimal() takes 0 to {MOST_PLACES} places, got {places!r}", "choose fewer places")
    return cast("decimals.Decimal", FieldSpec("decimal", np.dtype("<i8"), default, places))


def native_kind(dtype: np.dtype[Any]) -> str:
    """What the native layer calls a NumPy type; `scalar` when it leaves it to NumPy."""
    code = dtype.str[1:]
    if code == "b1":
        return "bool"
    return code if code in NATIVE_CODES else "scalar"


def fixed_dtype(dtype: DTypeLike, who: str) -> np.dtype[Any]:
    """Return the NumPy type, or say why events cannot hold it."""
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise SchemaError(f"{who}() takes a NumPy type, got {dtype!r}", "write field('datetime64[ns]')") from error
    if found.hasobject:
        raise SchemaError(f"{who}() cannot hold Python objects ({found})", "use a ring with factory=") from None
    if found.itemsize == 0:
        raise SchemaError(f"{who}() takes a type of a fixed size, got {found!r}", "write the size: field('U8')")
    if found.newbyteorder("<") != found:
        raise SchemaError(f"{who}() takes little-endian types, got {found}", "write '<' or leave the order out")
    return found


def packer(label: str, dtype: np.dtype[Any]) -> Callable[[object], np.ndarray[Any, Any]]:
    """Return the function that makes an array of just this type and shape from a value.

    Args:
        label: event and field, for the error.
        dtype: the type, with its shape.
    """
    base, shape = dtype.subdtype or (dtype, ())

    def pack(value: object) -> np.ndarray[Any, Any]:
        try:
            given = _as_array(value, base)
            packed = _cast(given, base)
        except (TypeError, ValueError, OverflowError) as error:
            raise FieldError(label, value, f"takes {_described(base, shape)}", "convert it first") from error
        if packed is None:
            limit = f"takes {_described(base, shape)}, which {given.dtype} does not fit"
            raise FieldError(label, value, limit, "convert it first, or declare a wider type")
        if packed.shape != shape:
            raise FieldError(label, value, f"takes the shape {shape}, this has {packed.shape}", "reshape it")
        return packed

    return pack


def _as_array(value: object, base: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """What NumPy makes of a value by itself, or by help of the type where it would make objects or rows."""
    by_type = isinstance(value, datetime.date | datetime.timedelta) or (base.names and not isinstance(value, np.void))
    given = np.asarray(value, dtype=base) if by_type and not isinstance(value, np.ndarray) else np.asarray(value)
    return np.asarray(value, dtype=base) if given.dtype.hasobject else given


def _cast(given: np.ndarray[Any, Any], base: np.dtype[Any]) -> np.ndarray[Any, Any] | None:
    """The array in another type of the same kind; None when a value would not survive."""
    if given.dtype == base:
        return np.ascontiguousarray(given).reshape(given.shape)
    if not np.can_cast(given.dtype, base, casting="same_kind") or (base.kind == "m" and given.dtype.kind != "m"):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        packed = given.astype(base, order="C", casting="same_kind")
        if base.kind in "fc":
            survived = np.isfinite(packed) | ~np.isfinite(given)
        else:
            survived = (packed.astype(given.dtype) == given) | (given != given)  # noqa: PLR0124 (NaT is not itself)
    return packed if np.all(survived) else None


def _described(base: np.dtype[Any], shape: tuple[int, ...]) -> str:
    return f"{base} of the shape {shape}" if shape else f"a {base}"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _room(who: str, size: int) -> int:
    if not _is_whole(size) or not 1 <= size < 2**31:
        raise SchemaError(f"{who}() takes a size in bytes from 1 on, got {size!r}", f"write {who}(16)")
    return size


def _declared(spec: FieldSpec) -> Any:
    """The spec, which a type checker takes for a value of the field's type."""
    return spec


def _number(code: str) -> FieldSpec:
    return FieldSpec(code, np.dtype(f"<{code}"))


int8 = Annotated[int, _number("i1")]
int16 = Annotated[int, _number("i2")]
int32 = Annotated[int, _number("i4")]
int64 = Annotated[int, _number("i8")]
uint8 = Annotated[int, _number("u1")]
uint16 = Annotated[int, _number("u2")]
uint32 = Annotated[int, _number("u4")]
uint64 = Annotated[int, _number("u8")]
float32 = Annotated[float, _number("f4")]
