"""SMTP: one connection to one server, as many messages on their way as it allows, and the truth about each.

A receipt says in which stage a message failed, and whom that blames. What the server can still take is
certain (`not sent`) until the last octet of a message is written; from then on silence means `unknown`.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from newsletter.config import SmtpServerConfig, read_secret
from newsletter.errors import ConfigError, TransportError
from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import Capabilities, Supply, TransportContext
from newsletter.transports.replies import Reply
from newsletter.transports.smtp.envelope import objection
from newsletter.transports.smtp.login import log_in
from newsletter.transports.smtp.routes import Routes, name_of
from newsletter.transports.smtp.transactions import Conversation, receipt_of, window_of
from newsletter.transports.smtp.wire import TIMEOUTS, Stopped, Wire

_UNWELCOME = 3600.0  # seconds for which a server that greets with a refusal is left alone


class SmtpTransport:
    """One connection, to one of the servers; entering makes it, with TLS and credentials as configured."""

    def __init__(self, context: TransportContext, *, timeouts: Mapping[Stage, float] = TIMEOUTS) -> None:
        smtp = context.config.smtp
        if not smtp.host:
            raise ConfigError(
                "no SMTP server is configured",
                where="newsletter.toml: smtp.host",
                remedy='Name it there, or set delivery.transport to "maildir" or "console"',
            )
        self._routes: Routes = context.common.setdefault("routes", Routes(smtp.servers))
        self._server: SmtpServerConfig = smtp
        self._passwords = {name_of(one): _password(context, one) for one in smtp.servers}
        self._path = context.config.path
        self._local_hostname = smtp.local_hostname
        self._per_connection = context.config.delivery.per_connection
        self._timeouts = timeouts
        self._wire: Wire | None = None
        self._talk: Conversation | None = None
        self._waiting: Callable[[], AbstractContextManager[object]] = nullcontext
        self._carried = 0
        self._proven = False  # the server has taken a message
        self._aborted = False
        self._capabilities = Capabilities()

    @property
    def capabilities(self) -> Capabilities:
        """What the server said it can do."""
        return self._capabilities

    def __enter__(self) -> Self:
        servers = self._routes.order()
        for number, server in enumerate(servers, 1):
            self._server = server
            try:
                self._connect()
            except TransportError as e:
                self._routes.failed(server, e)
                if e.everywhere or number == len(servers) or self._aborted:
                    raise
            else:
                break
        self._routes.opened(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._routes.closed(self._server)
        if isinstance(error, TransportError):
            self._routes.failed(self._server, error)
        if self._wire is not None:
            self._wire.leave()
            self._wire = None

    def abort(self, *, doubt: bool) -> None:
        """Stop from another thread."""
        self._aborted = True
        wire = self._wire
        if wire is not None:
            wire.abort(doubt=doubt)

    def send(self, messages: Iterable[Message]) -> Iterator[Receipt]:
        """Carry messages, each taken only when the connection stands ready for it."""
        supply = Supply(messages)
        self._waiting = supply.waiting
        if self._wire is not None:
            self._wire.waiting = supply.waiting
        try:
            while True:
                talk = self._talk
                if talk is None or not talk.busy:
                    supply.finish()
                    if self._aborted or supply.is_over():
                        return
                    talk = self._ready()
                    talk.ending = supply.ending
                receipts, broken = self._step(talk, supply)
                for receipt in receipts:
                    if receipt.outcome is Outcome.ACCEPTED and not self._proven:
                        self._routes.carried(self._server)
                        self._proven = True
                    yield receipt
                if broken and not self._aborted:
                    raise broken
        finally:
            if self._wire is not None and self._talk is not None and self._talk.busy:
                self._wire.close()  # whoever took the receipts left in the middle

    # The connection

    @property
    def _name(self) -> str:
        return name_of(self._server)

    def _ready(self) -> Conversation:
        """Return an idle connection that stands, renewed when it has carried its share."""
        if self._wire is not None and self._carried >= self._per_connection:
            self._wire.leave()
            self._connect()
        if self._wire is None or self._talk is None or not self._wire.is_quiet():
            raise self._error(Stage.LOCAL, "the server closed the connection")
        return self._talk

    def _connect(self) -> None:
        wire = self._wire = Wire(self._local_hostname, self._timeouts)
        wire.waiting = self._waiting
        if self._aborted:  # while the one before was left
            wire.abort(doubt=True)
        self._talk = None
        self._carried = 0
        try:
            tls = self._tls() if self._server.security != "none" else None
            implicit = self._server.security == "tls"
            greeting = wire.open(self._server.host, self._server.port, tls if implicit else None)
            self._expect(greeting, 220, lasting=greeting.code // 100 == 5, rest=_UNWELCOME)
            self._greet(wire)
            if tls is not None and not implicit:
                self._start_tls(wire, tls)
            if self._server.username:
                self._log_in(wire)
        except TransportError:
            wire.close()
            raise
        except ssl.SSLCertVerificationError as e:
            wire.close()
            raise self._error(wire.stage, f"its certificate is not valid: {e.verify_message}", True) from e
        except (OSError, smtplib.SMTPException) as e:
            wire.close()
            raise self._error(wire.stage, _reason(e), isinstance(e, smtplib.SMTPNotSupportedError)) from e
        features = wire.esmtp_features
        size = features.get("size", "")
        self._capabilities = Capabilities(
            smtputf8="smtputf8" in features,
            eight_bit="8bitmime" in features,
            max_size=int(size) if size.isascii() and size.isdigit() else 0,
            dsn="dsn" in features,
            window=window_of(features),
            announces=True,
            yields=True,
            server=self._name,
        )
        self._talk = Conversation(wire, self._capabilities, self._name)

    def _greet(self, wire: Wire) -> None:
        wire.enter(Stage.EHLO)
        code, words = wire.ehlo()
        self._expect(Reply(code, "", words.decode().replace("\n", " ")), 250, lasting=code // 100 == 5)

    def _start_tls(self, wire: Wire, context: ssl.SSLContext) -> None:
        wire.enter(Stage.STARTTLS)
        if "starttls" not in wire.esmtp_features:
            raise self._error(
                Stage.STARTTLS,
                "the server does not offer STARTTLS, which is required",
                True,
                'Ask its operator; set smtp.security to "tls" if it speaks TLS from the start',
            )
        self._expect(wire.ask(Stage.STARTTLS, b"STARTTLS"), 220)
        wire.secure(self._server.host, context)
        self._greet(wire)

    def _log_in(self, wire: Wire) -> None:
        wire.enter(Stage.AUTH)
        try:
            reply = log_in(wire, self._server.username, self._passwords[self._name])
        except UnicodeEncodeError as e:
            what = "the server's way to log in cannot carry this user name or password"
            raise self._error(Stage.AUTH, what, True) from e
        try:
            self._expect(
                reply, 235, lasting=reply.code // 100 == 5, remedy="Check smtp.username and smtp.password"
            )
        except TransportError as e:
            e.everywhere = e.lasting  # somebody may be locked out: nothing more is tried anywhere
            raise

    def _tls(self) -> ssl.SSLContext:
        file = self._path(self._server.ca_file) if self._server.ca_file else None
        try:
            return ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as e:
            raise ConfigError(
                f"the certificates cannot be read: {e}",
                where=f"smtp.ca_file = {file}",
                remedy="Name a file of certificates in PEM form",
            ) from e

    def _expect(
        self, reply: Reply, code: int, *, lasting: bool = False, remedy: str = "", rest: float = 0.0
    ) -> None:
        if reply.code != code:
            stage = self._wire.stage if self._wire is not None else Stage.CONNECT
            error = self._error(stage, str(reply), lasting, remedy)
            error.rest = rest if lasting else 0.0
            raise error

    def _error(self, stage: Stage, what: str, lasting: bool = False, remedy: str = "") -> TransportError:
        place = f"{self._name} ({stage})" if stage is not Stage.LOCAL else self._name
        return TransportError(
            what, where=place, remedy=remedy or "Check the server and [smtp]", lasting=lasting
        )

    # Messages

    def _step(self, talk: Conversation, supply: Supply) -> tuple[list[Receipt], TransportError | None]:
        """Take one message or hear what is said; return the receipts, and why the connection must end."""
        wire = self._wire
        assert wire is not None
        message = None
        if self._may_take(talk, wire, supply):  # what taking raises is no fault of the connection
            message = supply.take(keep_error=talk.busy)
            if message is None:
                return [], None
        try:
            receipt = self._begin(talk, message) if message else talk.advance() if talk.busy else None
            receipts = [] if receipt is None else [receipt]
        except Stopped as e:
            receipts = list(talk.stop(str(e)))
        except (OSError, smtplib.SMTPException) as e:
            return self._lose(talk, wire, e)
        if talk.busy or not talk.retired:
            return receipts, None
        wire.close()
        return receipts, self._error(wire.stage, talk.retired)

    def _may_take(self, talk: Conversation, wire: Wire, supply: Supply) -> bool:
        """Tell whether to take a message before the next reply is read: never when that may settle another."""
        if self._aborted or supply.is_over() or not talk.has_room():
            return False
        if not talk.busy:
            return True
        if self._carried >= self._per_connection or not supply.is_ready():
            return False
        return not (talk.in_doubt and wire.has_spoken())

    def _begin(self, talk: Conversation, message: Message) -> Receipt | None:
        said = objection(message, self._capabilities)
        if said is not None:
            return receipt_of(message, self._name, said)
        self._carried += 1
        talk.begin(message)
        return None

    def _lose(
        self, talk: Conversation, wire: Wire, error: OSError | smtplib.SMTPException
    ) -> tuple[list[Receipt], TransportError | None]:
        reason = _reason(error)
        receipts = list(talk.lose(reason, error))
        stage = receipts[0].stage if receipts else wire.stage
        wire.close()
        return receipts, self._error(stage, talk.retired or reason)


def _reason(error: OSError | smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return str(error) or "the server closed the connection"
    if isinstance(error, TimeoutError):
        return str(error) if error.errno is None else "no answer to the call"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _password(context: TransportContext, server: SmtpServerConfig) -> str:
    if server.password is not None:
        return server.password.get_secret_value()
    if server.password_file is not None:
        return read_secret(context.config.path(server.password_file), "smtp.password_file")
    return ""
