"""The keys of a delivery: how fast and by what, the servers, and the keys that sign."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from newsletter.config.fields import Duration, Host, Line, Listen, Rate, Section


class DeliveryConfig(Section):
    """How an issue is delivered; the keys of one transport stand in `[smtp]` or `[maildir]`."""

    transport: str = "smtp"
    connections: Annotated[int, Field(ge=1, le=100)] = 4
    per_connection: Annotated[int, Field(ge=1)] = 200
    processes: Annotated[int, Field(ge=0, le=64)] | None = None  # as many as cores when it is worth it
    rate: Rate | None = None  # messages a second, over all connections
    finish_within: Duration | None = None  # from the release on: as slowly as that allows
    expire_after: Duration = timedelta(days=4)
    on_crash: Literal["presume", "resend", "hold"] = "presume"
    on_power_cut: Literal["presume", "resend", "hold"] = "resend"
    on_silence: Literal["presume", "resend", "hold"] = "hold"


class SmtpServerConfig(Section):
    """One SMTP server. TLS is required unless `security = "none"`, which is refused with credentials."""

    host: Line = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1  # of the connections, where there are several servers

    @model_validator(mode="after")
    def _credentials_need_tls(self) -> Self:
        if self.username and self.security == "none":
            raise ValueError("credentials are never sent without TLS: set security to starttls or tls")
        return self


class SmtpConfig(SmtpServerConfig):
    """The SMTP server, or the first of several; each in `also` needs its own host."""

    local_hostname: Host = ""
    bounce_domain: Host = ""  # VERP envelope b+TOKEN@bounce_domain; the sender's domain by default
    also: tuple[SmtpServerConfig, ...] = ()

    @model_validator(mode="after")
    def _others_come_second(self) -> Self:
        if self.also and not self.host:
            raise ValueError("name the first server in [smtp] itself, and the others in [[smtp.also]]")
        names = [f"{one.host}:{one.port}" for one in self.servers]
        if "" in (one.host for one in self.also):
            raise ValueError("each server in [[smtp.also]] needs its host")
        if len(set(names)) < len(names):
            raise ValueError(f"a server is named twice: {max(names, key=names.count)}")
        return self

    @property
    def servers(self) -> tuple[SmtpServerConfig, ...]:
        """All of them, the first one first."""
        return (self, *self.also)


class BouncesConfig(Section):
    """Where bounces, complaints and messages that unsubscribe arrive; any of the three, or a pipe into a command."""

    maildir: Path | None = None  # a message is moved from new/ to cur/ once it is recorded
    mbox: Path | None = None  # only read
    every: Duration = timedelta(minutes=1)  # how often the two are read
    lmtp: Listen = ""  # host:port on which `newsletter run` listens for an MTA

    @property
    def listen(self) -> tuple[str, int] | None:
        """Where to listen, None when nowhere."""
        host, _, port = self.lmtp.rpartition(":")
        return (host.strip("[]"), int(port)) if self.lmtp else None


class MaildirConfig(Section):
    """Where the maildir transport writes."""

    path: Path = Path("var/maildir")


class DkimConfig(Section):
    """One DKIM key (RFC 6376, RFC 8463); `domain` is the From domain."""

    domain: Annotated[Host, Field(min_length=1)]
    selector: Annotated[Host, Field(min_length=1)]
    key_file: Path
