"""Machine code on disk: what one process has compiled, the next one loads.

Numba's own cache is by source file: it does not see what a function refers to in others, and takes each function that a
function makes for a new one. Here the key is the function itself: its code, its constants, and what it refers to.

The files are Numba's pickles, as those of its own cache. The folder is of this user alone, mode 0700, or is not used.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

_VERSION = 1
"""Of what a file holds: another number leaves all that were written before."""
_loops: weakref.WeakValueDictionary[str, CFunc] = weakref.WeakValueDictionary()


def folder() -> Path | None:
    """Where the files are: `$NUMBA_CACHE_DIR/ringbus`, or `ringbus/compiled` in the user's cache folder.

    Returns:
        None where that is no folder of this user alone.
    """
    if config.CACHE_DIR:
        path = Path(config.CACHE_DIR) / "ringbus"
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringbus" / "compiled"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return path
    return None


class Cache(NullCache):
    """The place of one loop, in this process and on disk. What `CFunc` asks before it compiles, and tells after it has.

    Attributes:
        loop: the loop, if this process has compiled or loaded it already.
        is_on_disk: whether it was found there.
    """

    def __init__(self, own: bytes | None, types: object) -> None:
        """Find the place.

        Args:
            own: the fingerprint of the function; without one, it is not kept.
            types: whatever else makes another loop of it.
        """
        self._key = None if own is None else _key(own, types)
        self.loop = _loops.get(self._key) if self._key else None
        self._found = None if self.loop is not None else self._load()
        self.is_on_disk = self._found is not None

    def keep(self, loop: CFunc) -> None:
        """Let the next user in this process have it."""
        if self._key:
            _loops[self._key] = loop

    @property
    def _path(self) -> Path | None:
        where = folder() if self._key else None
        return where / f"{self._key}.nbc" if where else None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What the file holds; None where there is none that can be used."""
        return self._found

    def _load(self) -> Any:
        path = self._path
        if path is None or not path.exists():
            return None
        try:
            content = pickle.loads(path.read_bytes())  # noqa: S301 (our own file)
            return CompileResult._rebuild(cpu_target.target_context, *content)
        except Exception:  # noqa: BLE001 (a file that cannot be read is compiled anew and written over)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the file, whole or not at all."""
        path = self._path
        if path is None or data.library.has_dynamic_globals or any(not part.can_cache for part in data.lifted):
            return
        with contextlib.suppress(OSError):
            _write(path, dumps(data._reduce()))


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _key(own: bytes, types: object) -> str:
    settings = config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE
    machine = cpu_target.target_context.codegen().magic_tuple()
    facts = _VERSION, sys.version, numba.__version__, llvmlite.__version__, machine, settings, str(types)
    return hashlib.sha256(_loops_source() + own + repr(facts).encode()).hexdigest()


@functools.cache
def _loops_source() -> bytes:
    """What makes the loops: another version of it makes others."""
    here = Path(__file__)
    return here.with_name("loops.py").read_bytes() + here.with_name("intrinsics.py").read_bytes()
