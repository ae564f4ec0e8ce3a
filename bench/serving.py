"""Serving feeds, against nginx serving the same bytes."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.feeds import make, subscription
from bench.harness import ROOT, Figure, configuration
from newsletter import web
from newsletter.store import open_store
from newsletter.web import limits

ROUNDS = 9
SECONDS = 1  # of each round
CLIENTS = 16
FEED = "feeds/atom.xml"
GOALS = {"304": 0.35, "200, gzip": 0.45}
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    types {{ application/atom+xml xml; }}
    server {{
        listen 127.0.0.1:{port}; root {public};
        gzip_static on; gzip_vary on; charset utf-8; charset_types application/atom+xml;
        add_header Cache-Control "public, max-age=1800";
        add_header Link '<https://x.example.org/feeds/atom.xml>; rel="self"';
    }}
}}
"""


def document() -> bytes:
    """Return a feed of thirty entries with texts that compress as texts do."""
    rng = random.Random(1)
    words = ["".join(rng.choices("aeioulnrst" * 3 + "bcdfghm", k=rng.randint(2, 9))) for _ in range(3000)]
    return subscription(
        [replace(post, body_html=f"<p>{' '.join(rng.choices(words, k=300))}</p>") for post in make(30)]
    )


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end, from when it answers."""
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/{FEED}", timeout=10).read()
                    break
                except OSError:
                    time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def worker_of(process: subprocess.Popen[bytes]) -> int:
    """Return the process that answers: the child of nginx, or the process itself."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else process.pid


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """Return the resident memory of a process in MB."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) / 1024


def load(port: int, process: int, headers: dict[str, str], seconds: int = SECONDS) -> tuple[float, float]:
    """Ask as fast as wrk can; return requests a second, and a CPU second of the server."""
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    began = cpu_of(process)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", *options, f"http://127.0.0.1:{port}/{FEED}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_of(process) - began
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    (count,) = re.findall(r"(\d+) requests in", said)
    return float(rate), int(count) / max(spent, 0.01)


def etag_of(port: int) -> str:
    """Return the ETag of the compressed feed."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{FEED}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.headers["ETag"])


def compared(what: str, sides: list[tuple[int, int, dict[str, str]]]) -> Figure:
    """Ask both in turn; the ratio is the median of those inside a round."""
    for side in sides:
        load(*side)
    rounds = [[load(*side) for side in sides] for _ in range(ROUNDS)]
    rates = [statistics.median(one[number][0] for one in rounds) for number in range(2)]
    ratio, by_cpu = (statistics.median(one[0][kind] / one[1][kind] for one in rounds) for kind in range(2))
    return Figure(
        f"{what}: requests a second, one process each, {CLIENTS} connections that stay, neither logs",
        f"{rates[0]:,.0f}",
        f"{rates[1]:,.0f}",
        f"{ratio:.2f} (by CPU seconds of the server {by_cpu:.2f})",
        f"≥ {GOALS[what]}",
    )


def figures() -> list[Figure]:
    """Measure 304 and compressed 200, and memory over 100,000 requests."""
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        return [
            Figure(f"{what}: requests a second", f"not measured: no {' and no '.join(missing)}")
            for what in GOALS
        ]
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder, ports = Path(name), (free_port(), free_port())
        folder.chmod(0o755)
        file = folder / "public" / FEED
        file.parent.mkdir(parents=True)
        file.write_bytes(document())
        file.with_name("atom.xml.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        settings = NGINX.format(folder=folder, public=folder / "public", port=ports[1])
        (folder / "nginx.conf").write_text(settings, encoding="utf-8")
        commands = (
            [sys.executable, "-m", "bench.serving", name, str(ports[0])],
            ["nginx", "-p", name, "-c", f"{name}/nginx.conf"],
        )
        workers = [worker_of(stack.enter_context(running(*one))) for one in zip(commands, ports, strict=True)]
        zipped = {"Accept-Encoding": "gzip", "User-Agent": "Reader/1.0", "X-Forwarded-For": "192.0.2.1"}
        plain = [(port, worker, zipped) for port, worker in zip(ports, workers, strict=True)]
        asked = [(*one[:2], {**zipped, "If-None-Match": etag_of(one[0])}) for one in plain]
        found = [compared("304", asked), compared("200, gzip", plain), grown(*plain[0])]
    return [*found, Figure("`public/` behind nginx itself", "nginx's own", "", "1 by definition")]


def grown(port: int, process: int, headers: dict[str, str]) -> Figure:
    """Measure resident memory before and after 100,000 requests, half of them conditional."""
    conditional = {**headers, "If-None-Match": etag_of(port)}
    before, asked = resident(process), 0.0
    while asked < 100_000:
        for one in (headers, conditional):
            asked += load(port, process, one, seconds=2)[0] * 2
    after = resident(process)
    return Figure(
        f"Memory of the built-in server before and after {asked:,.0f} requests",
        f"{before:.0f} MB, {after:.0f} MB",
        "",
        "",
        "flat",
    )


def serve(folder: Path, port: int) -> None:
    """Serve `FOLDER/public` until a signal; clients are told apart, and nobody asks too often."""
    limits.ONE = limits.ALL = (0.0, 1)
    config = configuration(folder, 25)
    folders = config.folders.model_copy(update={"public": folder / "public"})
    with open_store(f"sqlite:///{folder}/bench.db") as store:
        web.serve(web.create_app(store, config.model_copy(update={"folders": folders})), "127.0.0.1", port)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
