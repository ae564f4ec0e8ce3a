"""A real Postfix on a port of its own: configuration, queue and log in a folder of the test, mail thrown away."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Where it is installed, or was only unpacked.
ROOTS = (Path("/"), Path(__file__).parent.parent.parent / ".venv" / "oracles" / "postfix")
QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("maildrop", "pid", "private", "public", "saved", "trace"),
)
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {programs}
shlib_directory = {libraries}
command_directory = {commands}
meta_directory = {folder}/conf
mail_owner = {owner}
setgid_group = {group}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH={libraries}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard
relay_transport = discard
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtputf8_enable = yes
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
_SENT = re.compile(r" postfix/discard\[.* to=<([^>]+)>,.* status=sent ")


def found() -> Path | None:
    """Return the root under which Postfix lies."""
    return next((root for root in ROOTS if (root / "usr/lib/postfix/sbin/master").exists()), None)


@dataclass
class Postfix:
    """One that runs."""

    folder: Path
    port: int

    def log(self) -> str:
        """Return all it logged."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def delivered(self) -> Counter[str]:
        """Count what its queue has delivered, by recipient."""
        return Counter(_SENT.findall(self.log()))


@contextmanager
def running(folder: Path) -> Iterator[Postfix]:
    """Run it until the end of the block."""
    root = found()
    assert root is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    _configure(folder, root, port)
    libraries = str(root / "usr/lib/postfix")
    process = subprocess.Popen(
        [str(root / "usr/lib/postfix/sbin/master"), "-c", str(folder / "conf"), "-e", "300"],
        env={"PATH": os.defpath, "LD_LIBRARY_PATH": libraries, "MAIL_CONFIG": str(folder / "conf")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Postfix(folder, port)
    try:
        _await_greeting(server, process)
        yield server
    finally:
        process.terminate()  # it ends those that it started
        process.wait(30)


def _configure(folder: Path, root: Path, port: int) -> None:
    """Write its configuration, and the folders of its queue with their owners."""
    owner = _present("/etc/passwd", ("postfix", "daemon"))
    group = _present("/etc/group", ("postdrop", "mail"))
    for name in ("conf", "queue", "data"):
        (folder / name).mkdir(parents=True)
    for name in QUEUES:
        (folder / "queue" / name).mkdir()
        if name != "pid":
            shutil.chown(folder / "queue" / name, owner)
    shutil.chown(folder / "data", owner)
    for place in (folder, *folder.parents):  # its servers run under another user
        if place.stat().st_uid == os.geteuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o711)
    (folder / "conf" / "main.cf").write_text(
        MAIN.format(
            folder=folder,
            programs=root / "usr/lib/postfix/sbin",
            libraries=root / "usr/lib/postfix",
            commands=root / "usr/sbin",
            owner=owner,
            group=group,
        )
    )
    (folder / "conf" / "master.cf").write_text(MASTER.format(port=port))
    (folder / "conf" / "dynamicmaps.cf").write_text("")


def _present(file: str, names: tuple[str, ...]) -> str:
    """Return the first of some names that the machine knows."""
    known = {line.partition(":")[0] for line in Path(file).read_text(encoding="utf-8").splitlines()}
    return next(name for name in names if name in known)


def _await_greeting(server: Postfix, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            with closing(socket.create_connection(("127.0.0.1", server.port), 5)) as sock:
                if sock.recv(100).startswith(b"220 "):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"Postfix does not start: {server.log()}")
