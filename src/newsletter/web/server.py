"""Run the application under uvicorn, in this thread or in one of its own, and stop it cleanly."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from newsletter.errors import OutsideError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from newsletter.web.front import Front

MOST_AT_ONCE = 512  # connections and requests; more are answered 503

log = logging.getLogger(__name__)


class Server:
    """A listening server: the port is known, and open, as soon as it is made; `start` answers."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self._front: Front | None = getattr(getattr(app, "state", None), "front", None)
        self._server = _server(app, self._front)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Answer in this thread until `stop`."""
        log.info("listening on http://%s:%d/", self.host, self.port)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def start(self) -> None:
        """Answer in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self.run, name="web")
        self._thread.start()

    def stop(self) -> None:
        """Answer what has come in, for a second at most, and end."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._socket.close()
        if self._front is not None:
            self._front.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Answer until SIGINT or SIGTERM; raises OutsideError when the port cannot be had."""
    with until_signalled() as wait, Server(app, host, port):
        wait(threading.Event())


@contextmanager
def until_signalled() -> Iterator[Callable[[threading.Event], None]]:
    """Give a function that waits for SIGINT, SIGTERM or an event.

    The signals are held back from every thread that starts inside, so none is cut off in the midst of
    something; to be used in the main thread.
    """
    signals = {signal.SIGINT, signal.SIGTERM}

    def wait(stop: threading.Event) -> None:
        while not stop.is_set():
            caught = signal.sigtimedwait(signals, 0.1)
            if caught is not None:
                log.info("%s: stopping", signal.Signals(caught.si_signo).name)
                return

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield wait
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise OutsideError(
            f"the server cannot listen: {reason}",
            where=f"{host}:{port}",
            remedy="Stop what uses the port, or set [web] host and port",
        ) from e
    return listener


def _server(app: ASGIApp, front: Front | None) -> uvicorn.Server:
    import uvicorn

    from newsletter.web.guard import Redaction
    from newsletter.web.patience import Patient

    for name in ("uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, Redaction) for one in logger.filters):
            logger.addFilter(Redaction())
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=partial(Patient, quick=front.quick if front else None),  # type: ignore[arg-type]  # it is called
            ws="none",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,
        )
    )
