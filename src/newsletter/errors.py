"""The one tree of errors: each message says what happened, where, and what to do."""


class NewsletterError(Exception):
    """Something the product knows how to say.

    `what` is the event, `where` a file, key, address or URL, `remedy` what the reader of the line can do.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        stop = "" if line.endswith(("?", ".", "!")) else "."
        return f"{line}{stop} {self.remedy}" if self.remedy else line


class InputError(NewsletterError):
    """The user's input is wrong: a file, an argument, a row."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration is wrong: `where` names the file and the key."""


class FindingsError(NewsletterError):
    """A check found something."""

    exit_code = 1


class OutsideError(NewsletterError):
    """The outside world failed: a server, a disk, a network."""

    exit_code = 3


class StoreError(OutsideError):
    """The store cannot be opened, is locked, or is of another version."""


class FetchError(OutsideError, ConnectionError):
    """A URL could not be fetched.

    `status` is the HTTP status, 0 when there was no answer; `retry_after` the seconds the server asked to wait.
    `lasting` when asking again changes nothing: it is gone, no such name, not a URL that may be fetched.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        status: int = 0,
        retry_after: float | None = None,
        lasting: bool = False,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = status
        self.retry_after = retry_after
        self.lasting = lasting


class SourceError(OutsideError):
    """A source as a whole cannot be read; its posts stay as they are.

    `remember` is merged into the source's memory all the same: when to ask again, that it is gone.
    """

    def __init__(
        self, what: str, *, where: str = "", remedy: str = "", remember: dict[str, str] | None = None
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.remember = remember or {}


class TransportError(OutsideError):
    """A transport as a whole cannot be used (connection, TLS, credentials); no subscriber is to blame.

    `lasting` when trying again changes nothing until somebody mends something (credentials, certificate), or until
    so many seconds of `rest` are over (0: until somebody does). `everywhere` when no other server may
    be tried either.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        lasting: bool = False,
        rest: float = 0.0,
        everywhere: bool = False,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.lasting = lasting
        self.rest = rest
        self.everywhere = everywhere


class LeaseLost(OutsideError):
    """Another process owns this issue now; this one stops and changes nothing more."""


class TemplateError(InputError):
    """A template is wrong: `where` names the file and line."""


class TokenError(InputError):
    """A token is malformed, forged or made for another purpose."""
