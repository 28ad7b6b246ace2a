"""`python -m ringbus`."""

import sys

from ringbus.cli import main

if __name__ == "__main__":
    sys.exit(main())
