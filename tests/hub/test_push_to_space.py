"""The project reaches a Space by git under the Hub's rules: no binary file, none over 10 MB."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nca.hub import deploy_space
from nca.hub.space import LARGE_FILES

ROOT = Path(__file__).parents[2]
HOOK = f"""#!{sys.executable}
import subprocess, sys
def git(*command):
    return subprocess.check_output(("git", *command))
bad = []
for line in sys.stdin:
    new = line.split()[1]
    for entry in git("rev-list", "--objects", new).decode().splitlines():
        oid, _, name = entry.partition(" ")
        if not name or git("cat-file", "-t", oid) != b"blob\\n":
            continue
        data = git("cat-file", "blob", oid)
        if len(data) > 10 * 2**20 or b"\\0" in data:
            bad.append(name)
if bad:
    print("Your push was rejected because it contains binary files.", *sorted(set(bad)), sep="\\n")
    sys.exit(1)
"""
# What Git LFS does on this side: settings, .gitattributes, and a pointer in place of a file. That
# it also sends the files does not matter to the hook.
GIT_LFS = f"""#!{sys.executable}
import hashlib, subprocess, sys
command, rest = sys.argv[1], sys.argv[2:]
if command == "install":
    for key in ("clean", "smudge"):
        subprocess.check_call(["git", "config", "--global", "filter.lfs." + key, "git-lfs " + key])
elif command == "track":
    with open(".gitattributes", "a") as file:
        file.writelines(name + " filter=lfs diff=lfs merge=lfs -text\\n" for name in rest)
elif command == "clean":
    data = sys.stdin.buffer.read()
    print("version https://git-lfs.github.com/spec/v1")
    print("oid sha256:" + hashlib.sha256(data).hexdigest())
    print("size", len(data))
else:
    sys.exit("not needed: " + command)
"""


def commands():
    """The lines of README.md that push a checkout to a Space by git."""
    found = re.search(r"```sh\n(git lfs install\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    return found[1].splitlines()


@pytest.fixture
def work(tmp_path):
    """A clone of the files as they are here, with one commit, and the environment for git."""
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "git-lfs").write_text(GIT_LFS)
    (bin / "git-lfs").chmod(0o755)
    env = {"PATH": f"{bin}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    env |= {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")}  # fmt: skip
    env |= {"GIT_CONFIG_NOSYSTEM": "1"}

    def run(*command, cwd=tmp_path / "work", fails=False):
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "work" / name)
    run("git", "init", "-q", "-b", "main")
    run("git", "add", ".")
    run("git", "commit", "-qm", "as it is")
    bare = tmp_path / "space.git"
    run("git", "init", "-q", "--bare", "-b", "main", str(bare))
    (bare / "hooks/pre-receive").write_text(HOOK)
    (bare / "hooks/pre-receive").chmod(0o755)
    return run, bare


@pytest.mark.long
def test_a_plain_push_is_refused_and_the_commands_of_the_readme_are_not(work):
    run, bare = work
    refused = run("git", "push", str(bare), "main", fails=True)
    assert "contains binary files" in refused and "preview.gif" in refused
    here = {}
    for line in run("git", "ls-tree", "-r", "main").splitlines():
        about, name = line.split("\t")
        here[name] = about.split()[2]

    for line in commands():
        run("sh", "-c", line.replace("https://huggingface.co/spaces/user/name", str(bare)))

    there = {}
    for line in run("git", "ls-tree", "-r", "main", cwd=bare).splitlines():
        about, name = line.split("\t")
        there[name] = about.split()[2]
    assert there.keys() == here.keys()
    stored = {name for name in there if there[name] != here[name]} - {".gitattributes"}
    assert stored == {name for name in here if name.endswith(LARGE_FILES)}
    assert len(run("git", "rev-list", "main", cwd=bare).split()) == 1
    pointer = run("git", "show", "main:nca/player/wasm/nca.wasm", cwd=bare)
    assert pointer.startswith("version https://git-lfs.github.com/spec/v1\noid sha256:")


def test_nothing_else_is_binary_or_too_large(work):
    run, _ = work
    for name in run("git", "ls-tree", "-r", "--name-only", "main").splitlines():
        data = (ROOT / name).read_bytes()
        assert len(data) < 10 * 2**20
        if not name.endswith(LARGE_FILES):
            assert b"\0" not in data and data.decode() is not None, name


def test_deploying_commits_no_binary_file(server, hub):
    """The loopback Hub, too, refuses a commit that holds one."""
    deploy_space(hub, ROOT, "ann/garden", token=server.user("ann"))
    files = server.repos["space", "ann/garden"].files()
    assert files["checkpoints/lizard-regenerating/preview.gif"][:6] == b"GIF89a"
    rules = files[".gitattributes"].decode().splitlines()
    assert rules == [f"*{end} filter=lfs diff=lfs merge=lfs -text" for end in LARGE_FILES]
