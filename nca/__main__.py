"""`python -m nca`."""

import sys


def main() -> int:
    """Run one command; Ctrl-C while it is loaded ends it without a traceback."""
    try:
        from nca.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(main())
