"""The keys of webhooks, and their secrets as the Standard Webhooks conventions write them."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from newsletter.config.fields import Section, Url
from newsletter.config.secretfiles import read_secret
from newsletter.errors import ConfigError
from newsletter.model import EventKind

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes of a key


class WebhookConfig(Section):
    """A URL that is told of events, and where the secret is that signs them."""

    url: Url
    events: Annotated[tuple[EventKind, ...], Field(min_length=1)]
    secret_file: Path | None = None
    secret_env: str | None = None  # the name of a variable
    allow_private_addresses: bool = False

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("one of secret_file and secret_env is needed: every event is signed")
        return self

    def secrets(self, folder: Path) -> tuple[bytes, ...]:
        """Return the keys that sign: one, or two while one replaces the other. Raises ConfigError."""
        if self.secret_file is not None:
            where = f"[[webhooks]] secret_file = {self.secret_file}"
            text = read_secret((folder / self.secret_file).resolve(), "[[webhooks]] secret_file")
        else:
            where = f"[[webhooks]] secret_env = {self.secret_env}"
            text = os.environ.get(self.secret_env or "", "")
        keys = tuple(_key(word) for word in text.split())
        if not keys or not all(keys):
            remedy = (
                f"Write {_PREFIX} and {_SHORTEST} to {_LONGEST} random bytes in Base64, one secret a line"
            )
            raise ConfigError("this is not a webhook's secret", where=where, remedy=remedy)
        return keys


def _key(word: str) -> bytes:
    """Return the bytes of a secret, none when it is malformed."""
    try:
        key = base64.b64decode(word.removeprefix(_PREFIX), validate=True) if word.startswith(_PREFIX) else b""
    except ValueError:
        return b""
    return key if _SHORTEST <= len(key) <= _LONGEST else b""
