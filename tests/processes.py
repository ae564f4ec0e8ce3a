"""Other processes that talk by lines."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def child(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program that talks by lines; it is killed when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Read the next line a child says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def unprivileged(folder: Path) -> dict[str, Any]:
    """Say as which account a server runs that owns a folder: `nobody` when we are root, which servers refuse."""
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
    ours: dict[str, Any] = {"env": environment, "cwd": folder}
    if os.geteuid() != 0:
        return ours
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {**ours, "user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def wait_until_said(words: bytes, server: subprocess.Popen[bytes]) -> None:
    """Read what a server says on its error output until it is ready, then go on reading so that it never blocks."""
    log = server.stderr
    assert log is not None
    said = []
    for one in log:
        said.append(one.decode(errors="replace"))
        if words in one:
            threading.Thread(target=_drain, args=(log,), daemon=True).start()
            return
    raise RuntimeError(f"{server.args!r} did not start: {''.join(said)}")


def _drain(log: IO[bytes]) -> None:
    for _ in log:
        pass
    log.close()
