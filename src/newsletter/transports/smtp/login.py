"""Logging in to an SMTP server (RFC 4954)."""

from __future__ import annotations

import base64
import smtplib

from newsletter.transports.replies import Reply, compose_reply
from newsletter.transports.smtp.wire import Wire


def log_in(wire: Wire, username: str, password: str) -> Reply:
    """Try the best mechanism offered, once: a second try could lock the account."""
    offered = wire.esmtp_features.get("auth", "").upper().split()
    wire.user, wire.password = username, password
    if "PLAIN" in offered:
        secret = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        code, words = wire.docmd("AUTH", f"PLAIN {secret}")
        return compose_reply(code, words.decode(errors="replace").split("\n"))
    for mechanism, answer in (("CRAM-MD5", wire.auth_cram_md5), ("LOGIN", wire.auth_login)):
        if mechanism in offered:
            try:
                code, words = wire.auth(mechanism, answer, initial_response_ok=False)
            except smtplib.SMTPAuthenticationError as e:
                words = e.smtp_error if isinstance(e.smtp_error, bytes) else e.smtp_error.encode()
                code = e.smtp_code
            return compose_reply(code, words.decode(errors="replace").split("\n"))
    raise smtplib.SMTPNotSupportedError(
        f"the server offers no way to log in that we know ({' '.join(offered) or 'none at all'})"
    )
