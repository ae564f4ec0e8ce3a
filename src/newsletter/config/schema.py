"""Every key: its kind, its default, and what must hold between keys. `docs/reference.md` documents each."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from newsletter.checks import contrast
from newsletter.config.delivery import BouncesConfig, DeliveryConfig, DkimConfig, MaildirConfig, SmtpConfig
from newsletter.config.fields import (
    Address,
    Authority,
    BaseUrl,
    Colour,
    Duration,
    Fonts,
    IpAddress,
    Language,
    Line,
    LocalTime,
    Name,
    OptionalUrl,
    Origin,
    Section,
    Target,
    Url,
    WebPath,
    Weekday,
    Zone,
)
from newsletter.config.secretfiles import make_key_file, parse_keys, read_secret
from newsletter.config.webhooks import WebhookConfig
from newsletter.errors import ConfigError
from newsletter.model import EventKind


class PublicationConfig(Section):
    """Who publishes, and under which frozen identity."""

    title: Line
    url: BaseUrl
    subtitle: Line = ""
    description: str = ""
    language: Language = "en"
    timezone: Zone = "UTC"
    author: Line = ""
    author_uri: OptionalUrl = ""
    id_authority: Authority  # never changes once posts are out: RFC 4151 authority,date
    id_date: date
    contact: Address
    postal_address: str = ""
    rights: str = ""
    logo: str = ""  # path in the publication's folder: for feeds, pages and mails alike
    logo_alt: Line = ""
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
    deleted: Literal["keep", "hide", "delete"] = "keep"  # a post that the source no longer has
    options: dict[str, Any] = Field(default_factory=dict, repr=False)  # may hold a password


class GatherConfig(Section):
    """How often and how politely sources are read."""

    every: Duration = timedelta(minutes=15)
    allow_private_addresses: bool = False
    user_agent_contact: str = ""


class FeedsConfig(Section):
    """What the feeds carry."""

    entries: Annotated[int, Field(ge=1, le=1000)] = 30
    tags: bool = True
    hubs: tuple[Url, ...] = ()  # of others; config.hubs has the built-in one too


class WebSubConfig(Section):
    """The built-in hub: whom it calls, for how long, and how many."""

    hub: bool = False
    lease: Annotated[Duration, Field(ge=timedelta(hours=1), le=timedelta(days=30))] = timedelta(days=10)
    subscriptions: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    per_host: Annotated[int, Field(ge=1)] = 1000
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (80, 443, 8080, 8443)  # none: any port
    allow_private_addresses: bool = False


class ScheduleConfig(Section):
    """When a newsletter is due: `every` with what it needs, in an IANA zone."""

    every: Literal["day", "week", "month"] = "week"
    on: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("monday",)
    day: Annotated[int, Field(ge=1, le=31)] = 1  # of the month; the month's last day when it is shorter
    at: LocalTime = time(7, 0)
    timezone: Zone | None = None


class NewsletterConfig(Section):
    """A named newsletter: its schedule, its selection rule, its looks."""

    name: Name
    title: Line
    description: str = ""
    schedule: ScheduleConfig = ScheduleConfig()
    sender: Address  # From
    sender_name: Line = ""
    reply_to: Address | None = None
    sender_id: Line = "newsletter"  # last field of Feedback-ID
    subject: Line = "{title}: {first}"
    since: datetime | date | None = None  # posts published before are settled as skipped, once and in writing
    min_posts: Annotated[int, Field(ge=1)] = 1
    max_posts: Annotated[int, Field(ge=1, le=200)] = 12
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    intro: Path | None = None  # Markdown, pinned above the posts
    approval: bool = False  # an editor must approve each issue before it is delivered
    catch_up: Literal["run_latest", "skip"] = "run_latest"
    max_lateness: Duration = timedelta(days=2)
    alarm_after: Duration = timedelta(hours=6)  # a slot older than this whose issue did not go is told
    local_time: bool = False  # each reader at the slot's local time in their own zone
    local_spread: Duration = timedelta(hours=14)  # behind the slot, at most
    canary: Annotated[int, Field(ge=0)] = 0  # the first readers, before the others
    canary_to: tuple[Address, ...] = ()  # these readers, before the others
    canary_wait: Duration | None = (
        None  # until the others follow by themselves; without it by the editor's word
    )
    wave: Annotated[int, Field(ge=0)] = 0  # readers at a time
    wave_pause: Duration = timedelta(minutes=5)
    full_text: bool = False
    design: Literal["letter", "front"] = "letter"
    sections: tuple[Line, ...] = ()  # tags, in the order of the front page

    @field_validator("local_spread")
    @classmethod
    def _spread_is_of_this_earth(cls, spread: timedelta) -> timedelta:
        if spread > timedelta(hours=26):
            raise ValueError("at most 26h are allowed: no two zones lie further apart")
        return spread

    @model_validator(mode="after")
    def _turns_are_clear(self) -> Self:
        if self.canary and self.canary_to:
            raise ValueError("who goes first? canary and canary_to exclude each other")
        if self.wave and self.local_time:
            raise ValueError("readers at their own hour come in waves already: wave goes without local_time")
        return self

    @model_validator(mode="after")
    def _design_has_what_is_asked(self) -> Self:
        if self.design == "front" and self.full_text:
            raise ValueError('a front page shows excerpts: full_text belongs to design = "letter"')
        if self.design == "letter" and self.sections:
            raise ValueError('a letter has no sections: they belong to design = "front"')
        twice = [
            one for one in self.sections if [s.casefold() for s in self.sections].count(one.casefold()) > 1
        ]
        if twice:
            raise ValueError(f"sections names {twice[0]!r} twice")
        return self


class ThemeConfig(Section):
    """The digest's and pages' colours and fonts; `dark_…` are the dark scheme's."""

    model_config = ConfigDict(validate_default=True)  # a default must be seen on a ground that was set

    background: Colour = "#f3f1ec"
    paper: Colour = "#fdfcfa"
    text: Colour = "#1d2329"
    muted: Colour = "#56616b"
    accent: Colour = "#0b5c7a"
    dark_background: Colour = "#14181c"
    dark_paper: Colour = "#1d2329"
    dark_text: Colour = "#e6e8ea"
    dark_muted: Colour = "#a3adb7"
    dark_accent: Colour = "#7cc7e8"
    heading_font: Fonts = "Georgia, 'Times New Roman', serif"
    body_font: Fonts = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"

    @field_validator("text", "muted", "accent", "dark_text", "dark_muted", "dark_accent")
    @classmethod
    def _can_be_read(cls, colour: str, seen: ValidationInfo) -> str:
        """Refuse what is too faint on one of its scheme's grounds, which stand above it."""
        scheme = "dark_" if str(seen.field_name).startswith("dark_") else ""
        for ground in (f"{scheme}paper", f"{scheme}background"):
            below = seen.data.get(ground)  # none when it is wrong itself
            if below is not None and (found := contrast.ratio(colour[1:], below[1:])) < contrast.LEAST:
                shown = math.floor(found * 100) / 100  # never rounded up to what would do
                raise ValueError(
                    f"its contrast with {ground} {below} is {shown}, and {contrast.LEAST} is the least"
                )
        return colour


class WebConfig(Section):
    """The built-in server. `url` is where readers reach it; the publication's URL by default."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    url: BaseUrl | None = None
    proxies: tuple[IpAddress, ...] = ("127.0.0.1", "::1")  # whose X-Forwarded-For is believed
    moved: dict[WebPath, Target] = Field(default_factory=dict)
    gone: tuple[WebPath, ...] = ()
    signup: bool = True
    signup_origins: tuple[Origin, ...] = ()  # other sites whose forms may sign people up
    signups_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = 1000  # from everywhere together


class ConsentConfig(Section):
    """What is kept of a consent beside its words."""

    keep_ip: Duration = timedelta()  # the address of the computer it came from; 0: never
    welcome: bool = True  # who confirmed gets a letter that says so
    goodbye: bool = False  # a letter after unsubscribing


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
    websub: WebSubConfig = WebSubConfig()
    newsletters: tuple[NewsletterConfig, ...] = ()
    theme: ThemeConfig = ThemeConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    smtp: SmtpConfig = SmtpConfig()
    bounces: BouncesConfig = BouncesConfig()
    maildir: MaildirConfig = MaildirConfig()
    dkim: tuple[DkimConfig, ...] = ()
    web: WebConfig = WebConfig()
    consent: ConsentConfig = ConsentConfig()
    secrets: SecretsConfig = SecretsConfig()
    webhooks: tuple[WebhookConfig, ...] = ()
    transports: dict[str, dict[str, Any]] = Field(
        default_factory=dict, repr=False
    )  # tables of third-party transports
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
    def hubs(self) -> tuple[str, ...]:
        """The hubs that feeds name."""
        return (*((f"{self.web_url}hub",) if self.websub.hub else ()), *self.feeds.hubs)

    @property
    def webhook_events(self) -> dict[str, tuple[EventKind, ...]]:
        """What each webhook is told of, by its URL."""
        return {one.url: one.events for one in self.webhooks}

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

    def list_id(self, newsletter: NewsletterConfig) -> str:
        """Return the List-Id of a newsletter, which never changes once messages are out."""
        return f"{newsletter.name}.{self.publication.id_authority.replace('@', '.')}"

    def token_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Return the token keys, newest first; the file is made (mode 0600) when nothing is set."""
        if self.secrets.token_keys is not None:
            return parse_keys(self.secrets.token_keys.get_secret_value(), "[secrets] token_keys")
        path = self.path(self.secrets.token_key_file)
        if not path.exists():
            make_key_file(path)
        return parse_keys(read_secret(path, "[secrets] token_key_file"), str(path))

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("sources", [s.name for s in self.sources]),
            ("newsletters", [n.name for n in self.newsletters]),
            ("webhooks", [w.url for w in self.webhooks]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                key = "url" if what == "webhooks" else "name"
                raise ValueError(f"[[{what}]] {key} {sorted(twice)[0]!r} is used twice")
        return self
