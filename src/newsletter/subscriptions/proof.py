"""One person's record of consent as JSON that can be verified alone: every line with what its hash is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from newsletter.errors import InputError
from newsletter.model import Consent, ConsentAct
from newsletter.store import Store, consents, subscribers, suppressions
from newsletter.subscriptions.address import normalise

FORMAT = "newsletter-consent-1"
_WORDS = ("newsletter", "channel", "detail", "wording", "language", "form", "token")
_REMEDY = "Name a file that `newsletter subscribers show --proof` wrote"


def proof(store: Store, address: str, *, now: datetime) -> dict[str, Any] | None:
    """Return what proves a person's consent, None when nobody is stored under the address.

    `head` and `lines` of the chain say up to where it was seen; `ip` is there only while it is kept.
    """
    key = suppressions.key_of(normalise(address))
    with store.read() as tx:
        person = subscribers.by_keys(tx, [key]).get(key)
        if person is None:
            return None
        count, head = consents.head(tx)
        lines = [_line(one, now) for one in consents.lines_of(tx, person.id)]
    return {
        "format": FORMAT,
        "exported": now,
        "instance": store.instance,
        "address": person.address,
        "subscriber": person.id,
        "chain": {"lines": count, "head": head},
        "lines": lines,
    }


def _line(one: consents.Line, now: datetime) -> dict[str, Any]:
    said = one.consent
    line = {
        "id": one.id,
        "at": said.at,
        "act": said.act.value,
        **{name: getattr(said, name) for name in _WORDS},
    }
    line |= {"ip_seal": one.ip_seal, "previous": one.previous, "hash": one.hash}
    if said.ip and said.ip_until is not None and said.ip_until > now:
        line |= {"ip": said.ip, "ip_salt": one.ip_salt, "ip_until": said.ip_until}
    return line


def check_proof(document: Any) -> list[tuple[int, str]]:
    """Compute every hash of an exported proof anew; return the lines that are not what was written.

    Raises InputError when it is no proof.
    """
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise InputError("it is not a proof of consent", remedy=_REMEDY)
    broken = []
    try:
        for line in document["lines"]:
            if why := _wrong(line, document["subscriber"]):
                broken.append((int(line["id"]), why))
    except (KeyError, TypeError, ValueError) as e:
        raise InputError(f"the proof is not whole: {e}", remedy=_REMEDY) from e
    return broken


def _wrong(line: Mapping[str, Any], subscriber: int) -> str:
    words: dict[str, Any] = {name: str(line[name]) for name in _WORDS}
    at = datetime.fromisoformat(line["at"])
    said = Consent(subscriber_id=subscriber, at=at, act=ConsentAct(line["act"]), **words)
    if consents.chain_hash(line["previous"], said, line["ip_seal"]) != line["hash"]:
        return "its words are not those that were written"
    if "ip" in line and consents.seal_of(line["ip"], line["ip_salt"]) != line["ip_seal"]:
        return "its ip is not the one that was written"
    return ""
