"""The type parameters of rings, producers, groups and pollers, for type checkers.

A ring has two: `E`, what its slots hold, and `P`, the keywords that its event class takes. `P` is found by
passing the class to `RingBuffer`, and is what lets a checker see a misspelt field in `publish`. Both have
defaults, so that `RingBuffer[Trade]` is a whole annotation: such a ring takes any keyword.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    E = TypeVar("E", default=Any)
    P = ParamSpec("P", default=...)
else:
    from typing import ParamSpec, TypeVar

    E = TypeVar("E")
    P = ParamSpec("P")

T = TypeVar("T")
Q = ParamSpec("Q")

Rows: TypeAlias = npt.NDArray[np.void]
"""Events as a structured array, one dimension."""

Handler: TypeAlias = Callable[[T], object] | Callable[[T, int], object] | Callable[[T, int, bool], object]
"""A handler of events: of the event, its sequence, and whether the batch ends with it."""
