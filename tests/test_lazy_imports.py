"""`newsletter --help` is quick because heavy modules are imported where they are used (see bench/startup.py)."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "premailer",
    "lxml",
    "sqlalchemy",
    "apscheduler",
    "uvicorn",
    "pydantic",
    "jinja2",
    "rich",
    "PIL",
    "feedgen",
)


def run(*arguments: str) -> str:
    """Run the program in a fresh interpreter and return what it printed."""
    code = f"""
import sys
try:
    from newsletter.cli import main; main({list(arguments)!r})
finally:
    print("\\n@" + " ".join(m for m in {HEAVY!r} if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    output, _, last = done.stdout.rpartition("@")
    assert not last.split(), f"imported by {arguments}: {last}"
    return output


def test_help_imports_nothing_heavy() -> None:
    output = run("--help")
    for command in ("init", "gather", "publish", "issues", "run", "subscribers", "check", "backup"):
        assert f"  {command} " in output


def test_version_and_group_help_import_nothing_heavy() -> None:
    run("--version")
    run("issues", "--help")
    run("subscribers", "--help")
    run("feeds", "--help")
