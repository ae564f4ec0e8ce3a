"""What is sent and answered; the OpenAPI document is made of these."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from newsletter.errors import InputError
from newsletter.model import DeliveryState, IssueState, Standing
from newsletter.subscriptions import language_of, name_of, normalise, said, timezone_of

MOST = 200  # rows on a page


def _in_utc(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _read_by(read: Callable[[str], str]) -> AfterValidator:
    """Return the check that a text is what our own reader takes; its sentence is the fault's."""

    def check(text: str) -> str:
        try:
            return read(text)
        except InputError as e:
            raise ValueError(str(e)) from e

    return AfterValidator(check)


Instant = Annotated[AwareDatetime, PlainSerializer(_in_utc, return_type=str, when_used="json")]
Address = Annotated[str, Field(max_length=320, examples=["ada@example.org"]), _read_by(normalise)]
Name = Annotated[str, _read_by(name_of)]
Language = Annotated[str, Field(examples=["en-AU"]), _read_by(language_of)]
Zone = Annotated[str, Field(examples=["Europe/Brussels"]), _read_by(timezone_of)]
Said = Annotated[str, Field(min_length=1, max_length=1000), _read_by(partial(said, column="it"))]
Newsletter = Annotated[str, Field(min_length=1, max_length=64, examples=["weekly"])]
Limit = Annotated[int, Field(ge=1, le=MOST, description="Rows on a page.")]
Cursor = Annotated[str, Field(max_length=64, description="`next` of the page before.")]


class Sent(BaseModel):
    """What a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Answered(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid")


# Subscribers


class SubscriptionBody(Answered):
    """How somebody stands with one newsletter."""

    newsletter: str
    standing: Standing
    since: Instant
    paused_until: Instant | None


class SubscriberBody(Answered):
    """A person."""

    id: int
    address: str
    name: str
    language: str
    timezone: str
    created: Instant | None
    suppressed: bool = Field(description="Never to be written to again.")
    subscriptions: list[SubscriptionBody]


class SubscriberPage(Answered):
    """Some subscribers, in the order of their ids."""

    items: list[SubscriberBody]
    next: str | None = Field(description="The cursor of the next page; null on the last.")


class NewSubscriber(Sent):
    """A person who agreed."""

    address: Address
    newsletters: Annotated[list[Newsletter], Field(min_length=1, max_length=50)]
    consent: Said = Field(description="How and when the person agreed; kept in the ledger of consents.")
    name: Name = ""
    language: Language = ""
    timezone: Zone = ""


class NewSubscription(Sent):
    """A newsletter that a known person agreed to."""

    newsletter: Newsletter
    consent: Said = Field(description="How and when the person agreed; kept in the ledger of consents.")


class SubscriberChange(Sent):
    """What of a person is to be changed; what is left out stays."""

    name: Name | None = None
    language: Language | None = None
    timezone: Zone | None = None


class Leaving(Sent):
    """Which newsletter a person leaves; all of them when none is named."""

    newsletter: Newsletter | None = None


class SubscriberQuery(Sent):
    """Which subscribers."""

    newsletter: Newsletter | None = None
    standing: Standing | None = None
    address: Address | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


# Newsletters and issues


class NewsletterBody(Answered):
    """A newsletter, and to how many an issue released now would go."""

    name: str
    title: str
    description: str
    audience: int


class NewsletterList(Answered):
    """All newsletters."""

    items: list[NewsletterBody]


class AccountBody(Answered):
    """The balancing sum: audience = accepted + refused + suppressed + unknown + waiting + attempting."""

    audience: int
    accepted: int
    presumed: int = Field(description="Of those accepted: without the server's own word.")
    refused: int
    suppressed: int
    unknown: int
    waiting: int
    attempting: int
    balances: bool


class IssueBody(Answered):
    """One numbered sending of a newsletter."""

    id: int
    newsletter: str
    number: int
    state: IssueState
    reason: str = Field(description="Why it is held, or was forced.")
    subject: str
    due: Instant
    composed_at: Instant | None
    released_at: Instant | None
    finished_at: Instant | None
    held_until: Instant | None
    revision: int
    sha256: str
    posts: list[str] = Field(description="Ids of the posts, in their order.")
    account: AccountBody


class IssuePage(Answered):
    """Some issues, the newest first."""

    items: list[IssueBody]
    next: str | None = Field(description="The cursor of the next page; null on the last.")


class IssueQuery(Sent):
    """Which issues."""

    newsletter: Newsletter | None = None
    state: IssueState | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class Approval(Sent):
    """The editor's word; `force` says why an issue goes whose digest breaks a rule."""

    force: Said | None = None


class Hold(Sent):
    """Why an issue is stopped, and until when, if it goes on by itself."""

    reason: Said
    until: Instant | None = None


class Release(Sent):
    """`everybody` lets also those go who wait for a canary or a wave."""

    everybody: bool = False


class Nothing(Sent):
    """Nothing is to be said."""


class DeliveryBody(Answered):
    """What became of an issue for one subscriber."""

    subscriber_id: int
    state: DeliveryState
    attempts: int
    presumed: bool
    reason: str
    not_before: Instant | None
    revision: int


class DeliveryPage(Answered):
    """Some deliveries, in the order of subscribers."""

    items: list[DeliveryBody]
    next: str | None = Field(description="The cursor of the next page; null on the last.")


class DeliveryQuery(Sent):
    """Which deliveries."""

    state: DeliveryState | None = None
    limit: Limit = 100
    cursor: Cursor | None = None
