"""Which variables of the server's environment a worker inherits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from nca._compat import let_threads_sleep

# Variables of the system and its folders, of languages, of numerical libraries and their caches,
# of compilers (for Triton's kernels), of Python, of Windows, and our own.
_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG|LANGUAGE|LC_\w+|XDG_\w+|SSL_CERT_\w+"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_LIBRARY_PATH|DYLD_FALLBACK_LIBRARY_PATH|GLIBC_TUNABLES"
    r"|VIRTUAL_ENV|CONDA_PREFIX|CC|CXX|CPATH|C_INCLUDE_PATH|LIBRARY_PATH"
    r"|(CUDA|NVIDIA|HIP|ROCR|HSA|TORCH|TORCHINDUCTOR|PYTORCH|TRITON|NUMBA|NCA)_\w+"
    r"|(OMP|MKL|KMP|GOMP|OPENBLAS|BLIS|VECLIB|MALLOC|MIMALLOC)_\w+"
    r"|PYTHON(PATH|HOME|UTF8|UNBUFFERED|WARNINGS|DONTWRITEBYTECODE|PYCACHEPREFIX|HASHSEED"
    r"|FAULTHANDLER|NOUSERSITE|USERBASE|IOENCODING|MALLOC)"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|TEMP|TMP|USERPROFILE|HOMEDRIVE|HOMEPATH"
    r"|APPDATA|LOCALAPPDATA|PROGRAMDATA|NUMBER_OF_PROCESSORS|PROCESSOR_ARCHITECTURE",
    re.IGNORECASE if os.name == "nt" else 0,
)
_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASS|OAUTH|CREDENTIAL", re.IGNORECASE)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker gets: what it needs to compute, no secrets.

    PYTHONPATH begins with the folder of this package, so that `python -P -m nca...` works anywhere.
    """
    # An allow-list, because a secret may have any name; then names like secrets are dropped too.
    kept = {k: v for k, v in environ.items() if _KEPT.fullmatch(k) and not _SECRET.search(k)}
    paths = [str(Path(__file__).resolve().parents[2]), kept.get("PYTHONPATH", "")]
    let_threads_sleep(kept)
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
