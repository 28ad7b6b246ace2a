"""Handlers and sources that run as machine code, without the GIL: compiled by Numba, or C functions.

Numba is imported when the first Python function is compiled, and not before.
"""

from ringbus.machine.marks import compiled

__all__ = ["compiled"]
