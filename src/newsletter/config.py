"""The configuration: one `newsletter.toml`, the environment over it, secrets from the environment or files.

The only module that reads the environment and the files of configuration. Every key is documented in
`docs/reference.md`; a test compares the two.
"""

from __future__ import annotations

import base64
import difflib
import os
import re
import secrets
import tomllib
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from newsletter.errors import ConfigError

FILE_NAME = "newsletter.toml"
ENV_PREFIX = "NEWSLETTER_"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("an absolute http:// or https:// URL without credentials is needed")
    return value


def _base_url(value: str) -> str:
    value = _url(value)
    if urlsplit(value).query or urlsplit(value).fragment:
        raise ValueError("a URL without query and fragment is needed")
    return value if value.endswith("/") else value + "/"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as e:
        raise ValueError("an IANA time zone is needed, such as Europe/Brussels") from e
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name of lower-case letters, digits and hyphens is needed, such as weekly")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError("a language tag (BCP 47) is needed, such as en-AU")
    return value


def _colour(value: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise ValueError("a colour of six hexadecimal digits is needed, such as #0b5c7a")
    return value.lower()


def _address(value: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as e:
        raise ValueError(f"an e-mail address is needed: {e}") from e


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match:
            raise ValueError("a duration is needed, such as 90s, 15m, 12h, 2d or 1w")
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError('a duration in quotes is needed, such as "15m"')


Url = Annotated[str, AfterValidator(_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name)]
Language = Annotated[str, AfterValidator(_language)]
Colour = Annotated[str, AfterValidator(_colour)]
Address = Annotated[str, AfterValidator(_address)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
HEADER_TEXT = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]*$")]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PublicationConfig(Section):
    """Who publishes, and under which frozen identity."""

    title: HEADER_TEXT
    url: BaseUrl
    subtitle: HEADER_TEXT = ""
    description: str = ""
    language: Language = "en"
    timezone: Zone = "UTC"
    author: HEADER_TEXT = ""
    author_uri: str = ""
    id_authority: str  # never changes once posts are out: RFC 4151 authority,date
    id_date: date
    contact: Address
    postal_address: str = ""
    rights: str = ""
    logo: str = ""  # path in the publication's folder
    icon: str = ""
    generator: bool = True
    publish_addresses: bool = False

    @property
    def tag_prefix(self) -> str:
        """The frozen `tag:` URI prefix of every id minted here."""
        return f"tag:{self.id_authority},{self.id_date.isoformat()}:"


class StoreConfig(Section):
    """Where the store is. A URL with a password belongs into the environment or `url_file`."""

    url: SecretStr = SecretStr("sqlite:///var/newsletter.db")
    url_file: Path | None = None


class FoldersConfig(Section):
    """Where things lie in the publication's folder; `state` holds the database, pictures, keys and locks."""

    public: Path = Path("public")
    state: Path = Path("var")
    templates: Path = Path("templates")


class SourceConfig(Section):
    """One source of posts; smaller `priority` wins when two tell of one post."""

    name: Name
    kind: str
    path: Path | None = None
    url: Url | None = None
    timezone: Zone | None = None
    language: Language | None = None
    priority: int = 100
    options: dict[str, Any] = Field(default_factory=dict)


class GatherConfig(Section):
    """How often and how politely sources are read."""

    every: Duration = timedelta(minutes=15)
    allow_private_addresses: bool = False
    user_agent_contact: str = ""


class FeedsConfig(Section):
    """What the feeds carry."""

    entries: Annotated[int, Field(ge=1, le=1000)] = 30
    tags: bool = True
    hubs: tuple[Url, ...] = ()


class ScheduleConfig(Section):
    """When a newsletter is due: `every` with what it needs, in an IANA zone."""

    every: Literal["day", "week", "month"] = "week"
    on: tuple[Weekday, ...] = ("monday",)
    day: Annotated[int, Field(ge=1, le=31)] = 1  # of the month; the month's last day when it is shorter
    at: time = time(7, 0)
    timezone: Zone | None = None


class NewsletterConfig(Section):
    """A named newsletter: its schedule, its selection rule, its looks."""

    name: Name
    title: HEADER_TEXT
    description: str = ""
    schedule: ScheduleConfig = ScheduleConfig()
    sender: Address  # From
    sender_name: HEADER_TEXT = ""
    reply_to: Address | None = None
    sender_id: str = "newsletter"  # last field of Feedback-ID
    subject: str = "{title}: {first}"
    since: datetime | date | None = None  # posts published before are settled as skipped, once and in writing
    min_posts: Annotated[int, Field(ge=1)] = 1
    max_posts: Annotated[int, Field(ge=1, le=200)] = 12
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    intro: Path | None = None  # Markdown, pinned above the posts
    approval: bool = False  # an editor must approve each issue before it is delivered
    catch_up: Literal["run_latest", "skip"] = "run_latest"
    max_lateness: Duration = timedelta(days=2)
    full_text: bool = False


class ThemeConfig(Section):
    """The digest's and pages' colours and fonts; `dark_…` are the dark scheme's."""

    accent: Colour = "#0b5c7a"
    text: Colour = "#1d2329"
    muted: Colour = "#56616b"
    background: Colour = "#f3f1ec"
    paper: Colour = "#fdfcfa"
    dark_accent: Colour = "#7cc7e8"
    dark_text: Colour = "#e6e8ea"
    dark_muted: Colour = "#a3adb7"
    dark_background: Colour = "#14181c"
    dark_paper: Colour = "#1d2329"
    heading_font: str = "Georgia, 'Times New Roman', serif"
    body_font: str = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


class DeliveryConfig(Section):
    """How an issue is delivered; the keys of one transport stand in `[smtp]` or `[maildir]`."""

    transport: str = "smtp"
    connections: Annotated[int, Field(ge=1, le=100)] = 4
    per_connection: Annotated[int, Field(ge=1)] = 200
    rate_per_second: Annotated[float, Field(gt=0)] | None = None
    expire_after: Duration = timedelta(days=4)
    on_crash: Literal["presume", "resend", "hold"] = "presume"
    on_silence: Literal["presume", "resend", "hold"] = "hold"


class SmtpConfig(Section):
    """One SMTP server. TLS is required unless `security = "none"`, which is refused with credentials."""

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    local_hostname: str = ""
    bounce_domain: str = ""  # VERP envelope b+TOKEN@bounce_domain; the sender's domain by default

    @model_validator(mode="after")
    def _credentials_need_tls(self) -> Self:
        if self.username and self.security == "none":
            raise ValueError("credentials are never sent without TLS: set security to starttls or tls")
        return self


class MaildirConfig(Section):
    """Where the maildir transport writes."""

    path: Path = Path("var/maildir")


class DkimConfig(Section):
    """One DKIM key (RFC 6376, RFC 8463); `domain` is the From domain."""

    domain: str
    selector: str
    key_file: Path


class WebConfig(Section):
    """The built-in server. `url` is where readers reach it; the publication's URL by default."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    url: BaseUrl | None = None


class SecretsConfig(Section):
    """The keys that make tokens: `ID:BASE64` one a line, newest first."""

    token_keys: SecretStr | None = None
    token_key_file: Path = Path("var/secrets/token.keys")


class Config(Section):
    """The whole publication."""

    publication: PublicationConfig
    folders: FoldersConfig = FoldersConfig()
    store: StoreConfig = StoreConfig()
    gather: GatherConfig = GatherConfig()
    sources: tuple[SourceConfig, ...] = ()
    feeds: FeedsConfig = FeedsConfig()
    newsletters: tuple[NewsletterConfig, ...] = ()
    theme: ThemeConfig = ThemeConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    smtp: SmtpConfig = SmtpConfig()
    maildir: MaildirConfig = MaildirConfig()
    dkim: tuple[DkimConfig, ...] = ()
    web: WebConfig = WebConfig()
    secrets: SecretsConfig = SecretsConfig()
    transports: dict[str, dict[str, Any]] = Field(default_factory=dict)  # tables of third-party transports
    folder: Path = Field(default=Path(), exclude=True)

    def path(self, relative: Path | str) -> Path:
        """Return a path of the publication, made absolute against its folder."""
        return (self.folder / relative).resolve()

    @property
    def public(self) -> Path:
        """The folder that is published."""
        return self.path(self.folders.public)

    @property
    def state(self) -> Path:
        """The folder of what the product keeps beside its database."""
        return self.path(self.folders.state)

    @property
    def templates(self) -> Path:
        """The folder whose templates come before the packaged ones."""
        return self.path(self.folders.templates)

    @property
    def media(self) -> Path:
        """The folder of resized pictures, under content-addressed names; publishing copies what is used."""
        return self.state / "media"

    @property
    def web_url(self) -> str:
        """Where readers reach the built-in server, with a final slash."""
        return self.web.url or self.publication.url

    @property
    def store_url(self) -> str:
        """The store's URL with a relative SQLite path made absolute; it may carry a password."""
        url = self.store.url.get_secret_value()
        if self.store.url_file is not None:
            url = read_secret(self.path(self.store.url_file), "[store] url_file")
        prefix = "sqlite:///"
        return prefix + str(self.path(url.removeprefix(prefix))) if url.startswith(prefix) else url

    def newsletter(self, name: str) -> NewsletterConfig:
        """Return a newsletter by its name, or say which there are."""
        for one in self.newsletters:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.newsletters) or "none is configured"
        raise ConfigError(f"there is no newsletter {name!r}", remedy=f"Known: {known}")

    def token_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Return the token keys, newest first; the file is made (mode 0600) when nothing is set."""
        if self.secrets.token_keys is not None:
            return _parse_keys(self.secrets.token_keys.get_secret_value(), "NEWSLETTER_SECRETS__TOKEN_KEYS")
        path = self.path(self.secrets.token_key_file)
        if not path.exists():
            _make_key_file(path)
        return _parse_keys(read_secret(path, "[secrets] token_key_file"), str(path))

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("sources", [s.name for s in self.sources]),
            ("newsletters", [n.name for n in self.newsletters]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"[[{what}]] name {sorted(twice)[0]!r} is used twice")
        return self


def read_secret(path: Path, key: str) -> str:
    """Read a secret from a file; errors name the key and the file, never the content."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the secret cannot be read: {reason}",
            where=f"{key} = {path}",
            remedy="Make it readable or change the key",
        ) from e


def _make_key_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n"
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(temporary, path)  # fails when another process was first: then theirs is the key
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _parse_keys(text: str, where: str) -> tuple[tuple[str, bytes], ...]:
    keys = []
    for line in filter(None, map(str.strip, text.splitlines())):
        key_id, _, value = line.partition(":")
        try:
            key = base64.b64decode(value, validate=True)
        except ValueError:
            key = b""
        if not re.fullmatch(r"[A-Za-z0-9]{1,8}", key_id) or len(key) < 16:
            raise ConfigError(
                "a token key is malformed",
                where=where,
                remedy="Write ID:BASE64, one a line, at least 16 bytes each",
            )
        keys.append((key_id, key))
    if not keys:
        raise ConfigError("there is no token key", where=where, remedy="Remove the file to have one made")
    return tuple(keys)


def load(folder: Path, environment: dict[str, str] | None = None) -> Config:
    """Read `FOLDER/newsletter.toml` with `NEWSLETTER_SECTION__KEY` of the environment over it.

    Raises ConfigError naming file, key, value and what is allowed.
    """
    path = folder / FILE_NAME
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as e:
        raise ConfigError(
            "there is no publication here",
            where=str(path),
            remedy="Make one with: newsletter init DIR, or name its folder with -p DIR",
        ) from e
    except OSError as e:
        raise ConfigError(
            f"it cannot be read: {e.strerror}", where=str(path), remedy="Check its permissions"
        ) from e
    except UnicodeDecodeError as e:
        raise ConfigError("it is not UTF-8 text", where=str(path), remedy="Save it as UTF-8") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"it is not valid TOML: {e}", where=str(path), remedy="Mend that line") from e
    _overlay(raw, dict(os.environ) if environment is None else environment)
    try:
        return Config(**{**raw, "folder": folder.resolve()})
    except ValidationError as e:
        raise ConfigError(**_explain(e, path)) from e


def _overlay(raw: dict[str, Any], environment: dict[str, str]) -> None:
    for key in sorted(environment):
        section, separator, name = key.removeprefix(ENV_PREFIX).lower().partition("__")
        if key.startswith(ENV_PREFIX) and separator and section in Config.model_fields:
            table = raw.setdefault(section, {})
            if isinstance(table, dict):
                table[name] = environment[key]


def _explain(error: ValidationError, path: Path) -> dict[str, str]:
    """Turn pydantic's first finding into one line: the key, its value (never a secret's), what is allowed."""
    first = error.errors(include_url=False)[0]
    place = [part for part in first["loc"] if not str(part).startswith(("function-", "lax-", "json-"))]
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in place).replace(".[", "[")
    what = first["msg"].removeprefix("Value error, ")
    remedy = "Change it there"
    if first["type"] == "extra_forbidden":
        what, remedy = "this key is not known", _nearest(place)
    elif first["type"] == "missing":
        what, remedy = "this key is needed and missing", "Add it"
    elif not _secret(key) and isinstance(first["input"], (str, int, float, bool)):
        what = f"{first['input']!r} is not allowed: {what}"
    return {"what": what, "where": f"{path}: {key}" if key else str(path), "remedy": remedy}


def _secret(key: str) -> bool:
    return any(word in key for word in ("password", "token_keys", "store.url"))


def _nearest(place: list[int | str]) -> str:
    model: type[BaseModel] = Config
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        arguments = [annotation, *getattr(annotation, "__args__", ())]
        model = next(a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel))
    names = [name for name in model.model_fields if name != "folder"]
    near = difflib.get_close_matches(str(place[-1]), names, 1)
    return f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(names)}"
