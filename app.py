"""NCA Garden's page. `python app.py`, or the app file of a Space; the same as `nca serve`."""

import sys

from nca.cli.serve import serve
from nca.config import BadInput

if __name__ == "__main__":
    try:
        serve()
    except BadInput as error:
        sys.exit(str(error))
