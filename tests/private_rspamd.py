"""A private rspamd on loopback: its own rules for headers, MIME and HTML, nothing that asks a network or a database."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import unprivileged, wait_until_said

# The endings of domains are four and not the public list, which takes seconds to compile; the name server is a
# port where nobody answers.
CONFIGURATION = """
lua = "$RULESDIR/rspamd.lua"
.include "$CONFDIR/metrics.conf"
.include "$CONFDIR/actions.conf"
.include "$CONFDIR/groups.conf"
.include "$CONFDIR/composites.conf"
modules { path = "${PLUGINSDIR}"; }
.include "$CONFDIR/modules.d/chartable.conf"
.include "$CONFDIR/modules.d/forged_recipients.conf"
.include "$CONFDIR/modules.d/maillist.conf"
.include "$CONFDIR/modules.d/regexp.conf"
mime_types { file = "$CONFDIR/maps.d/mime_types.inc"; }
options {
  filters = "chartable,regexp";
  url_tld = "$RUNDIR/endings";
  tempdir = "$RUNDIR";
  pidfile = "$RUNDIR/pid";
  hs_cache_dir = "$RUNDIR/";
  cache_file = "$RUNDIR/symbols.cache";
  control_socket = "$RUNDIR/control mode=0600";
  disable_hyperscan = true;
  explicit_modules = ["settings"];
  local_addrs = [];
  dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; sockets = 1; }
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:@PORT@"; count = 1; mime = true; }
"""


@dataclass(frozen=True, slots=True)
class PrivateRspamd:
    """A running rspamd."""

    port: int

    def score(self, message: bytes) -> dict[str, float]:
        """Return the rules that a message hits, each with its points."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/checkv2", data=message)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            symbols = json.load(answer)["symbols"]
        return {name: float(symbol["score"]) for name, symbol in symbols.items()}


@contextlib.contextmanager
def start(program: str) -> Iterator[PrivateRspamd]:
    """Run an rspamd while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="newsletter-rspamd-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        (folder / "endings").write_text("com\nexample\norg\ntest\n")
        port = _free_port()
        (folder / "rspamd.conf").write_text(CONFIGURATION.replace("@PORT@", str(port)))
        places = ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR")
        process = subprocess.Popen(
            [
                program,
                "--no-fork",
                f"--config={folder}/rspamd.conf",
                *[f"--var={place}={folder}" for place in places],
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **unprivileged(folder),
        )
        wait_until_said(b"listening for control commands", process)
        yield PrivateRspamd(port)
    finally:
        if process is not None:
            process.terminate()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
