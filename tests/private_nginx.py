"""A private nginx on loopback, configured as docs/serving.md says: its own prefix, port, logs and process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "serving.md"
MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    types {{ text/html html; text/css css; text/xml xml; application/json json; image/jpeg jpg; }}
    {site}
}}
"""


def found() -> str | None:
    """Return the program; Debian puts it where only root's PATH leads."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def snippet(language: str) -> str:
    """Return the example that the page has for a server."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return str(text)


def site(folder: Path, public: Path, port: int, behind: int) -> str:
    """Return the page's example with this machine's places in it, without TLS."""
    changes = {
        "/etc/nginx/newsletter-moves.conf": f"{folder}/moves.conf",
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "root /srv/letter/public;": f"root {public};",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{behind}",
        "/var/log/nginx/newsletter.log": f"{folder}/links.log",
        "https://letter.example.org": "https://harbour.example.org",
    }
    text = re.sub(r"(?m)^ *ssl_certificate.*\n", "", snippet("nginx"))
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(folder: Path, public: Path, moves: str, *, behind: int = 9) -> Iterator[int]:
    """Run nginx over a published tree and give its port; what is passed on goes to the port `behind`."""
    program = found()
    assert program is not None
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (folder / "moves.conf").write_text(moves, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    text = MAIN.format(folder=folder, user=user, site=site(folder, public, port, behind))
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait(process, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _wait(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("nginx did not begin to answer")
