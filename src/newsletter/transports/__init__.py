"""What carries messages away: one plug, each transport behind it and behind one contract test.

A third party adds one through the entry-point group `newsletter.transports`; the entry is a callable that
takes a TransportContext and returns a Transport. One Transport object is one connection, used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from newsletter.config import Config
from newsletter.errors import ConfigError
from newsletter.model import Message, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a transport can carry; what it cannot, it refuses instead of dropping.

    `max_size` in bytes (0: no limit known), `window` the most messages taken and not answered at any time,
    `idempotent` when a resend under the same key is not a second copy
    (true or false already before the transport is entered), `announces` when it tells `Announced` messages before the
    end of one may be written, `yields` when it lets others work, as `Shared` messages offer, whenever it waits in
    `send`, `server` which one it is that receipts will name: each has a pace of its own.
    """

    smtputf8: bool = False
    eight_bit: bool = False
    max_size: int = 0
    idempotent: bool = False
    dsn: bool = False
    window: int = 1
    announces: bool = False
    yields: bool = False
    server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportContext:
    """What a transport needs: the configuration, and its own table `[transports.NAME]` if it is foreign.

    `common` is for what the connections of one process share; it does not go with them to another.
    """

    config: Config
    options: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without what is shared here."""
        return partial(TransportContext, config=self.config, options=self.options), ()


class Transport(Protocol):
    """A context manager: entering connects (TransportError when it cannot), leaving closes cleanly."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can carry; known once entered."""
        ...

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Take messages one by one and yield exactly one Receipt for each taken, in any order.

        A message is taken only when the transport is ready to send it, and never more than `window` of them
        without their Receipts: each that was taken is in doubt when this process dies. Raises TransportError
        only when every message taken has its Receipt.
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


@runtime_checkable
class Paced(Protocol):
    """Messages that may be slow in coming; for one that is, a transport first ends what it has begun."""

    def is_ready(self) -> bool:
        """Tell whether the next message would come without a wait for its turn."""
        ...


@runtime_checkable
class Announced(Protocol):
    """Messages whose giver wants to know when one can no longer be taken back."""

    def ending(self, key: int) -> None:
        """Take note that the end of a message's data is about to be written."""
        ...


@runtime_checkable
class Shared(Protocol):
    """Messages of one connection among several of which one works at a time: who only waits lets another."""

    def waiting(self) -> AbstractContextManager[object]:
        """Let another work while the block runs."""
        ...


class Supply:
    """Messages as a transport with a window takes them: an error of theirs waits for what is on its way."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = iter(messages)
        self._paced = messages if isinstance(messages, Paced) else None
        self._announced = messages if isinstance(messages, Announced) else None
        self._shared = messages if isinstance(messages, Shared) else None
        self._ended = False
        self._error: BaseException | None = None

    def is_ready(self) -> bool:
        """Tell whether the next would come at once."""
        return self._paced is None or self._paced.is_ready()

    def ending(self, key: int) -> None:
        """Announce that the end of a message's data is about to be written."""
        if self._announced is not None:
            self._announced.ending(key)

    def waiting(self) -> AbstractContextManager[object]:
        """Let other connections work while the block runs."""
        return nullcontext() if self._shared is None else self._shared.waiting()

    def is_over(self) -> bool:
        """Tell whether no more will come."""
        return self._ended

    def take(self, *, keep_error: bool) -> Message | None:
        """Return the next message, None at the end, which an error is too when it is kept for later."""
        try:
            message = next(self._messages, None)
        except BaseException as e:
            self._ended = True
            if not keep_error:
                raise
            self._error = e
            return None
        self._ended = message is None
        return message

    def finish(self) -> None:
        """Raise the error that was kept."""
        if self._error is not None:
            raise self._error


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
    return partial(make, TransportContext(config=config, options=config.transports.get(name, {})))
