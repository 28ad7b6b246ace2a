"""What Numba sees of an event or a state: NumPy types, with what Numba has no type for as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np


def visible(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type of the same layout that Numba can read: raw bytes (`V8`, the data of a blob) as arrays of uint8.

    Args:
        dtype: the type of an event or a state.
    """
    base, shape = dtype.subdtype or (dtype, ())
    if base.names is not None and base.fields is not None:
        fields: Any = base.fields
        described: Any = {
            "names": list(base.names),
            "formats": [visible(fields[name][0]) for name in base.names],
            "offsets": [fields[name][1] for name in base.names],
            "itemsize": base.itemsize,
        }
        return _shaped(np.dtype(described, align=base.isalignedstruct), shape)
    if base.kind == "V":
        return _shaped(np.dtype((np.uint8, (base.itemsize,))), shape)
    return dtype


def _shaped(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.dtype[Any]:
    return np.dtype((dtype, shape)) if shape else dtype
