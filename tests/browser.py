"""The browser that the page tests drive: found, else installed.

Run as a script it makes sure that there is one: a Chromium on the path, else Playwright's own,
else Debian's package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A sandboxed test machine has no GPU, and no network for the browser's own background calls.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def find_chromium() -> str | None:
    """Path of a Chromium that can be started, or None."""
    named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if named:
        return named
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if os.path.exists(own) else None


def install() -> str:
    """Path of a Chromium, installed if need be; SystemExit with a sentence when none can be had."""
    commands = [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get"):
        commands += [
            [*sudo, "apt-get", "update"],
            [*sudo, "apt-get", "install", "-y", "--no-install-recommends", "chromium"],
        ]
    found = find_chromium()
    for command in commands:
        if found:
            break
        subprocess.run(command, check=False, timeout=600, stdin=subprocess.DEVNULL)
        found = find_chromium()
    if not found:
        raise SystemExit("The page tests need Chromium: install it, or name it in CHROMIUM.")
    return found


if __name__ == "__main__":
    print("Chromium:", install())
