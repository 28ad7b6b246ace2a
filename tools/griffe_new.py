"""For the reference: shows a class that is made by `__new__` with the signature of `__new__`.

Griffe, which reads the sources for mkdocstrings, looks at `__init__` alone.
"""

from __future__ import annotations

from typing import Any

import griffe


class NewAsInit(griffe.Extension):
    """Puts `__new__` in the place of `__init__`."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Change the class once its members are known.

        Args:
            cls: the class.
        """
        made_by = cls.members.get("__new__")
        if isinstance(made_by, griffe.Function) and "__init__" in cls.members:
            made_by.docstring = None
            cls.members["__init__"] = made_by
