"""The process that is killed: delivers one issue of a publication.

This program forks one for each line `FOLDER ISSUE` of its input, so that each starts with the libraries loaded. It
answers with the process id, and with the exit code when that process has ended (negative for a signal).
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from newsletter.config import load
from newsletter.errors import NewsletterError
from newsletter.publisher import Publisher


def deliver(folder: str, issue: str) -> int:
    """Deliver what waits; exit codes are the command line's."""
    try:
        with Publisher.open(load(Path(folder), {})) as publisher:
            publisher.deliver(int(issue), stop=threading.Event())
    except NewsletterError as e:
        sys.stderr.write(f"{e}\n")
        return e.exit_code
    return 0


def serve() -> None:
    """Fork a sender for each line of input."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                code = deliver(*line.split("\t"))
            finally:
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
