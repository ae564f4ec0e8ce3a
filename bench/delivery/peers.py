"""What a delivery is measured against: bare signatures, and other ways to send the same message to as many."""

from __future__ import annotations

import json
import re
import shutil
import smtplib
import subprocess
import sys
import time
from email import message_from_bytes, policy
from email.message import EmailMessage

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.delivery import ground
from bench.digest import Plainly, reader
from bench.harness import ROOT

SIGNATURES = 1500


def openssl_rate() -> float:
    """Return how many RSA-2048 signatures a second `openssl speed` makes on two cores; 0 where it is absent."""
    program = shutil.which("openssl")
    if program is None:
        return 0.0
    command = [program, "speed", "-multi", "2", "-seconds", "1", "rsa2048"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(one for one in said.splitlines() if re.match(r"rsa\s+2048 bits", one))
    rates = [float(word) for word in line.partition("bits")[2].split() if not word.endswith("s")]
    return rates[0]


def signature_cost() -> float:
    """Return the CPU seconds of a bare RSA-2048 signature by `cryptography`."""
    head = b"h" * 1500
    began = time.process_time()
    for _ in range(SIGNATURES):
        ground.key().sign(head, padding.PKCS1v15(), hashes.SHA256())
    return (time.process_time() - began) / SIGNATURES


def parts(eml: bytes) -> tuple[str, str]:
    """Return the HTML and the text of a message made for reader@example.org."""
    message = message_from_bytes(eml, policy=policy.default)
    found = [message.get_body((kind,)) for kind in ("html", "plain")]
    assert all(isinstance(one, EmailMessage) for one in found)
    page, text = (one.get_content() for one in found if isinstance(one, EmailMessage))
    return page.replace("reader@example.org", "Zoë 0"), text.replace("reader@example.org", "Zoë 0")


def send_naively(eml: bytes, port: int, count: int) -> tuple[float, float]:
    """Render, inline, build, sign by dkimpy and send one message after the other; return wall and CPU seconds."""
    make = Plainly(*parts(eml), ground.pem(ground.key()))
    began, used = time.perf_counter(), time.process_time()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number in range(count):
            one = reader(number)
            server.sendmail("weekly@example.org", [one.address], make(one))
    return time.perf_counter() - began, time.process_time() - used


def send_pooled(eml: bytes, port: int, count: int, connections: int) -> tuple[float, float]:
    """Send as listmonk does, from two processes (it uses both cores); return wall and CPU seconds."""
    shares = [str(count // 2), str(connections // 2)]
    command = [sys.executable, "-m", "bench.delivery.pooled", str(port), *shares]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(parts(eml)) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    used = sum(float(process.stdout.read()) for process in processes if process.stdout is not None)
    taken = time.perf_counter() - began
    for process in processes:
        assert process.wait() == 0
    return taken, used
