"""Where the C interface is: its header and its library, for whoever compiles or loads them."""

from __future__ import annotations

from pathlib import Path

from ringbus.errors import ConfigurationError

_PACKAGE = Path(__file__).parent


def get_include() -> str:
    """Return the folder of `ringbus.h`, for a compiler's `-I`.

    Example:
        >>> import ringbus
        >>> (Path(ringbus.get_include()) / "ringbus.h").is_file()
        True
    """
    return str(_PACKAGE / "include")


def get_library() -> str:
    """Return the path of `libringbus.so`, to link against or to load with ctypes or cffi.

    Raises:
        ConfigurationError: this installation has none.

    Example:
        >>> import ctypes
        >>> import ringbus
        >>> ctypes.CDLL(ringbus.get_library()).ringbus_abi_version()
        1
    """
    path = _PACKAGE / "lib" / "libringbus.so"
    if not path.is_file():
        raise ConfigurationError(f"there is no {path}", "install ringbus from its wheel, or build it with `make build`")
    return str(path)
