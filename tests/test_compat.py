"""A private part of Numba, done without where it is not there, and the threads of torch."""

import os
import subprocess
import sys

import numba

from nca._compat import let_threads_sleep, stamp_kernel_cache
from nca.engine import _kernels
from nca.jobs import clean_environment


def test_this_numba_keeps_kernels_until_any_file_of_the_engine_changes():
    fires = _kernels.fires
    assert stamp_kernel_cache(fires, fires._cache._cache_file._source_stamp)
    stamps = {name: getattr(_kernels, name)._cache._cache_file._source_stamp
              for name in ("fires", "perceive", "update")}  # fmt: skip
    assert len(set(stamps.values())) == 1 and len(stamps["fires"]) > 5


def test_another_numba_compiles_without_a_cache():
    assert not stamp_kernel_cache(numba.njit(lambda x: x), (1,))  # one without a cache file
    assert not stamp_kernel_cache(object(), (1,))


def test_importing_the_library_leaves_the_process_alone():
    code = (
        "import os; before = dict(os.environ); import nca; nca.NCA, nca.Trainer; import nca.engine."
        "sparse; assert dict(os.environ) == before, set(os.environ) ^ set(before)"
    )
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_our_own_processes_let_their_threads_sleep():
    assert clean_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert clean_environment({"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"
    environ = {"OMP_WAIT_POLICY": "ACTIVE"}
    let_threads_sleep(environ)
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE"
