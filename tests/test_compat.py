"""A private part of Numba, done without where it is not there, and the threads of torch."""

import os
import subprocess
import sys
from pathlib import Path

import numba

from nca._compat import let_threads_sleep, stamp_kernel_cache
from nca.engine import _kernels
from nca.jobs import clean_environment
from tests.test_cli import TINY

ROOT = Path(__file__).parents[1]


def test_this_numba_keeps_kernels_until_any_file_of_the_engine_changes():
    fires = _kernels.fires
    assert stamp_kernel_cache(fires, fires._cache._cache_file._source_stamp)
    stamps = {name: getattr(_kernels, name)._cache._cache_file._source_stamp
              for name in ("fires", "perceive", "update")}  # fmt: skip
    assert len(set(stamps.values())) == 1 and len(stamps["fires"]) > 5


def test_another_numba_compiles_without_a_cache():
    assert not stamp_kernel_cache(numba.njit(lambda x: x), (1,))  # one without a cache file
    assert not stamp_kernel_cache(object(), (1,))


def test_compiled_code_is_kept_in_the_temp_folder_where_nothing_else_can_be_written(tmp_path):
    """The folder of the cache beside the source is a file here, and there is no home."""
    for path in [*(ROOT / "nca").glob("*.py"), *(ROOT / "nca/engine").glob("_*.py")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes() if path.name != "__init__.py" else b"")
    (tmp_path / "nca/engine/_double.py").write_text(
        "from nca.engine._jit import jit\n\n\n@jit\ndef double(x):\n    return 2 * x\n"
    )
    (tmp_path / "nca/engine/__pycache__").touch()
    (tmp_path / "tmp").mkdir()
    code = "from nca.engine._double import double as d; d(21); print(len(d.stats.cache_hits))"
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    env |= {"HOME": "/proc/nobody", "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", code]
    hits = [subprocess.check_output(command, env=env, cwd=tmp_path) for _ in range(2)]
    assert hits == [b"0\n", b"1\n"]
    assert list(tmp_path.glob("tmp/nca-garden-*/compiled/**/*.nbi"))


def test_our_own_processes_let_their_threads_sleep():
    assert clean_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert clean_environment({"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"
    environ = {"OMP_WAIT_POLICY": "ACTIVE"}
    let_threads_sleep(environ)
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE"


IN_A_NEW_PROCESS = """
import os, sys
before = dict(os.environ)
import nca, nca.engine.sparse
nca.NCA, nca.Trainer
assert dict(os.environ) == before, set(os.environ) ^ set(before)

from nca.cli import main
assert main(sys.argv[1:]) == 0
assert nca.load_checkpoint("checkpoints/lizard-regenerating").decoder
assert "torch._dynamo" not in sys.modules
"""


def test_importing_leaves_the_process_alone_and_training_does_without_torchs_compiler(tmp_path):
    """Importing the compiler takes 2 to 3 s of every start; loading a decoder does not either."""
    words = ["train", "--emoji", "🐞", "--out", str(tmp_path / "out"), *TINY]
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, *words]
    subprocess.run(command, env=env, check=True, timeout=300, cwd=ROOT)
