"""`python -m nca`."""

import sys

from nca.cli import main

if __name__ == "__main__":
    sys.exit(main())
