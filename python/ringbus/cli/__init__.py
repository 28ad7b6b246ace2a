"""The command line: `ringbus` and `python -m ringbus`."""

from ringbus.cli.app import main

__all__ = ["main"]
