"""What carries messages away: one plug, each transport behind it and behind one contract test.

A third party adds one through the entry-point group `newsletter.transports`; the entry is a callable that
takes a TransportContext and returns a Transport. One Transport object is one connection, used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from newsletter.config import Config
from newsletter.errors import ConfigError
from newsletter.model import Message, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a transport can carry; what it cannot, it refuses instead of dropping.

    `max_size` in bytes (0: no limit known), `idempotent` when a resend under the same key is not a second copy
    (true or false already before the transport is entered).
    """

    smtputf8: bool = False
    eight_bit: bool = False
    max_size: int = 0
    idempotent: bool = False
    dsn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportContext:
    """What a transport needs: the configuration, and its own table `[transports.NAME]` if it is foreign."""

    config: Config
    options: dict[str, Any] = field(default_factory=dict)


class Transport(Protocol):
    """A context manager: entering connects (TransportError when it cannot), leaving closes cleanly."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can carry; known once entered."""
        ...

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Take messages one by one and yield exactly one Receipt for each taken, in any order.

        A message is taken only when the transport is ready to send it. Raises TransportError only when every
        message taken has its Receipt.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Abortable(Protocol):
    """A transport that another thread can interrupt; one that is not is waited for."""

    def abort(self, *, doubt: bool) -> None:
        """Cut what is going on short, so that `send` soon ends with every Receipt given.

        Without `doubt`, a message whose end of data was written is still waited for; with it, that message's
        outcome is unknown.
        """
        ...


def transport_factory(config: Config, name: str) -> Callable[[], Transport]:
    """Return a maker of connections over the named transport, or say which transports there are."""
    known = {entry.name: entry for entry in entry_points(group="newsletter.transports")}
    if name not in known:
        raise ConfigError(
            f"there is no transport {name!r}",
            where="newsletter.toml: delivery.transport",
            remedy=f"Known: {', '.join(sorted(known))}",
        )
    make: Callable[[TransportContext], Transport] = known[name].load()
    context = TransportContext(config=config, options=config.transports.get(name, {}))
    return lambda: make(context)
