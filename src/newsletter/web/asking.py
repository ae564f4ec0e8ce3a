"""Who asks, from where, and what a form says."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from newsletter.config import Config
from newsletter.store.limits import Bucket
from newsletter.web.guard import body_of, origin_of_url

QUANTUM = 0.25  # seconds; an answer that could tell something by its time comes at a multiple of it
OF_NETWORK = (20, timedelta(minutes=3))  # how often one network may ask at once, and one more after each

Form = dict[str, list[str]]
Handler = Callable[[Request], Awaitable[Response]]


class Errors(dict[str, str]):
    """What is wrong by field, empty for what is right."""

    def __missing__(self, field: str) -> str:
        return ""


class Foreign(Exception):
    """A request that a page of another site made."""


async def form_of(request: Request) -> Form:
    """Read a form; what cannot be read is empty."""
    body = await body_of(request)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError:
        return {}


def first(form: Form, name: str, most: int = 400) -> str:
    """Return the one value of a field without the space around it, at most so long that its error can be told."""
    return form.get(name, [""])[0].strip()[:most]


def foreign(request: Request, ours: Collection[str]) -> bool:
    """Tell whether a page of another site made a request; what no browser made is nobody's page.

    A page without referrer says `Origin: null`, so `Sec-Fetch-Site` comes first.
    """
    origin = request.headers.get("origin", "").lower()
    site = request.headers.get("sec-fetch-site", "").lower()
    if site in ("same-origin", "none") or origin in ours:
        return False
    return bool(site) or origin not in ("", "null")


def origins(config: Config) -> frozenset[str]:
    """Return where pages of this publication come from."""
    return frozenset(map(origin_of_url, (config.publication.url, config.web_url)))


def own(handler: Handler, ours: Collection[str]) -> Handler:
    """Refuse what a page of another site asks for; raises Foreign."""

    async def checked(request: Request) -> Response:
        if foreign(request, ours):
            raise Foreign
        return await handler(request)

    return checked


async def evenly(answer: Awaitable[Response]) -> Response:
    """Give an answer at a multiple of some time, so that how long it took tells nothing."""
    start = time.monotonic()
    try:
        return await answer
    finally:
        taken = time.monotonic() - start
        await asyncio.sleep(math.ceil(taken / QUANTUM) * QUANTUM - taken)


def peer_of(request: Request, config: Config) -> str:
    """Return the address of who asks, empty when a proxy of ours does not tell."""
    peer = request.client.host if request.client else ""
    if peer in config.web.proxies:
        return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return peer


def bounds(request: Request, config: Config, *, cost: int = 1) -> list[Bucket]:
    """Return the limits on who may have letters sent: by network (/24, /56), and all together."""
    peer = network_of(peer_of(request, config))
    burst, every = OF_NETWORK
    an_hour = config.web.signups_per_hour
    everybody = Bucket(name="everybody", burst=an_hour, every=timedelta(hours=1) / an_hour)
    own_ = [Bucket(name=f"network {peer}", burst=burst, every=every, cost=cost)] if peer else []
    return [*own_, everybody]


def network_of(address: str) -> str:
    """Return the /24 or /56 of an address, empty for what is none."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return str(ipaddress.ip_network((known, 24 if known.version == 4 else 56), strict=False))
