"""SMTP: one connection to one server, one transaction at a time, and the truth about each.

A receipt says in which stage a message failed, and whom that blames. What the server can still take is
certain (`not sent`) until the final dot is written; from then on silence means `unknown`.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from newsletter.config import SmtpConfig, read_secret
from newsletter.errors import ConfigError, TransportError
from newsletter.model import Message, Outcome, Receipt, Stage
from newsletter.transports import Capabilities, TransportContext
from newsletter.transports.replies import Blame, Reply, Verdict, judge
from newsletter.transports.smtp.envelope import address_fault, content_fault, needs_smtputf8, stuff
from newsletter.transports.smtp.wire import TIMEOUTS, Wire


class SmtpTransport:
    """One connection; entering makes it, with TLS and credentials as configured."""

    def __init__(self, context: TransportContext, *, timeouts: Mapping[Stage, float] = TIMEOUTS) -> None:
        self._server = context.config.smtp
        if not self._server.host:
            raise ConfigError(
                "no SMTP server is configured",
                where="newsletter.toml: smtp.host",
                remedy='Name it there, or set delivery.transport to "maildir" or "console"',
            )
        self._password = _password(context, self._server)
        self._ca_file = context.config.path(self._server.ca_file) if self._server.ca_file else None
        self._per_connection = context.config.delivery.per_connection
        self._timeouts = timeouts
        self._wire: Wire | None = None
        self._carried = 0
        self._aborted = False
        self._capabilities = Capabilities()

    @property
    def capabilities(self) -> Capabilities:
        """What the server said it can do."""
        return self._capabilities

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        source = iter(messages)
        while not self._aborted:
            wire = self._ready()
            message = next(source, None)
            if message is None:
                return
            receipt, broken = self._carry(wire, message)
            yield receipt
            if broken and not self._aborted:
                raise self._error(wire.stage, broken)

    # The connection

    @property
    def _name(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    def _ready(self) -> Wire:
        """Return a connection that stands, renewed when it has carried its share."""
        if self._wire is not None and self._carried >= self._per_connection:
            self._wire.leave()
            self._connect()
        if self._wire is None or not self._wire.is_quiet():
            words = self._wire.last_words if self._wire is not None else ""
            raise self._error(Stage.LOCAL, words or "the server closed the connection")
        return self._wire

    def _connect(self) -> None:
        wire = self._wire = Wire(self._server.local_hostname, self._timeouts)
        self._carried = 0
        try:
            tls = self._tls() if self._server.security != "none" else None
            implicit = self._server.security == "tls"
            greeting = wire.open(self._server.host, self._server.port, tls if implicit else None)
            self._expect(greeting, 220, lasting=greeting.code // 100 == 5)
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
        )

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
            reply = wire.authenticate(self._server.username, self._password)
        except UnicodeEncodeError as e:
            what = "the server's way to log in cannot carry this user name or password"
            raise self._error(Stage.AUTH, what, True) from e
        self._expect(
            reply, 235, lasting=reply.code // 100 == 5, remedy="Check smtp.username and smtp.password"
        )

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as e:
            raise ConfigError(
                f"the certificates cannot be read: {e}",
                where=f"smtp.ca_file = {self._ca_file}",
                remedy="Name a file of certificates in PEM form",
            ) from e

    def _expect(self, reply: Reply, code: int, *, lasting: bool = False, remedy: str = "") -> None:
        if reply.code != code:
            stage = self._wire.stage if self._wire is not None else Stage.CONNECT
            raise self._error(stage, str(reply), lasting, remedy)

    def _error(self, stage: Stage, what: str, lasting: bool = False, remedy: str = "") -> TransportError:
        place = f"{self._name} ({stage})" if stage is not Stage.LOCAL else self._name
        return TransportError(
            what, where=place, remedy=remedy or "Check the server and [smtp]", lasting=lasting
        )

    # One message

    def _carry(self, wire: Wire, message: Message) -> tuple[Receipt, str]:
        """Return the receipt, and why the connection is of no more use (empty when it is)."""
        local = self._objection(message)
        if local is not None:
            return local, ""
        self._carried += 1
        try:
            stage, reply, verdict = self._transact(wire, message)
        except (OSError, smtplib.SMTPException) as e:
            stage, reason = wire.stage, _reason(e)
            wire.close()
            outcome = Outcome.UNKNOWN if stage is Stage.END_OF_DATA else Outcome.NOT_SENT
            return self._receipt(message, outcome, stage, Reply(0, "", reason)), reason
        receipt = self._receipt(message, verdict.outcome, stage, reply, suppress=verdict.suppress)
        return receipt, self._clear(wire, stage, reply, verdict)

    def _transact(self, wire: Wire, message: Message) -> tuple[Stage, Reply, Verdict]:
        mail = f"MAIL FROM:<{message.sender}>{self._parameters(message)}"
        for stage, command in (
            (Stage.MAIL, mail),
            (Stage.RCPT, f"RCPT TO:<{message.recipient}>"),
            (Stage.DATA, "DATA"),
        ):
            reply = wire.ask(stage, command.encode())
            verdict = judge(stage, reply)
            if verdict.outcome is not Outcome.ACCEPTED:
                return stage, reply, verdict
        wire.write_body(stuff(message.content))
        reply = wire.end_data()
        return Stage.END_OF_DATA, reply, judge(Stage.END_OF_DATA, reply)

    def _parameters(self, message: Message) -> str:
        offered = self._capabilities
        words = [f"SIZE={len(message.content)}"] if offered.max_size else []
        if not message.content.isascii() and offered.eight_bit:
            words.append("BODY=8BITMIME")
        if needs_smtputf8(message):
            words.append("SMTPUTF8")
        return "".join(f" {word}" for word in words)

    def _clear(self, wire: Wire, stage: Stage, reply: Reply, verdict: Verdict) -> str:
        """Make the connection ready for the next transaction, or say why it cannot be."""
        if verdict.blame is Blame.CONNECTION and reply.enhanced != "4.5.3":
            wire.close()
            return str(reply)
        if stage is Stage.END_OF_DATA:
            return wire.last_words
        try:
            answer = wire.ask(Stage.MAIL, b"RSET")
        except (OSError, smtplib.SMTPException) as e:
            wire.close()
            return _reason(e)
        if answer.code != 250:
            wire.close()
            return str(answer)
        return ""

    def _objection(self, message: Message) -> Receipt | None:
        """Refuse, before a word is said to the server, what cannot be carried unchanged.

        What would be so for every reader is said as the server would have said it to MAIL: our own fault.
        """
        offered, content = self._capabilities, message.content
        if message.sender and (fault := address_fault(message.sender)):
            reply = Reply(553, "5.1.7", f"the sender's address {fault}")
            return self._receipt(message, Outcome.NOT_SENT, Stage.MAIL, reply)
        if 0 < offered.max_size < len(content):
            text = f"the server takes {offered.max_size} octets at most, the message has {len(content)}"
            return self._receipt(message, Outcome.NOT_SENT, Stage.MAIL, Reply(552, "5.3.4", text))
        text = ""
        if fault := address_fault(message.recipient):
            text = f"the address {fault}"
        elif fault := content_fault(content):
            text = f"the message {fault}"
        elif needs_smtputf8(message) and not offered.smtputf8:
            text = "the address or a header is not ASCII and the server does not offer SMTPUTF8"
        elif not content.isascii() and not offered.eight_bit:
            text = "the message is not ASCII and the server does not offer 8BITMIME"
        return self._receipt(message, Outcome.REFUSED, Stage.LOCAL, Reply(0, "", text)) if text else None

    def _receipt(
        self, message: Message, outcome: Outcome, stage: Stage, reply: Reply, *, suppress: bool = False
    ) -> Receipt:
        return Receipt(
            key=message.key,
            outcome=outcome,
            stage=stage,
            server=self._name,
            code=reply.code,
            enhanced=reply.enhanced,
            text=reply.text,
            suppress=suppress,
        )


def _reason(error: OSError | smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return str(error) or "the server closed the connection"
    if isinstance(error, TimeoutError):
        return str(error) if error.errno is None else "no answer to the call"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _password(context: TransportContext, server: SmtpConfig) -> str:
    if server.password is not None:
        return server.password.get_secret_value()
    if server.password_file is not None:
        return read_secret(context.config.path(server.password_file), "smtp.password_file")
    return ""
