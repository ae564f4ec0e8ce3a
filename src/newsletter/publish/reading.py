"""The configuration as pages and feeds need it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import newsletter
from newsletter import pages
from newsletter.config import Config
from newsletter.feeds import Feed
from newsletter.model import Author

TOMBSTONES = 30  # deletions that a feed tells of, the newest


def main_feed(config: Config) -> Feed:
    """Return the description of the feed of all posts."""
    told = config.publication
    return _addressed(
        Feed(
            id=f"{told.tag_prefix}feeds/all",
            title=told.title,
            site=told.url,
            page=told.url,
            atom="",
            rss="",
            json="",
            author=Author(
                name=told.author or told.title,
                uri=told.author_uri,
                email=told.contact if told.publish_addresses else "",
            ),
            began=datetime.combine(told.id_date, time(), UTC),
            subtitle=told.subtitle,
            language=told.language,
            timezone=told.timezone,
            rights=told.rights,
            icon=told.url + asset(told.icon, "icon") if told.icon else "",
            logo=told.url + asset(told.logo, "logo") if told.logo else "",
            hubs=config.hubs,
            generator=newsletter.__version__ if told.generator else "",
            publish_addresses=told.publish_addresses,
        ),
        "",
    )


def part_feed(main: Feed, folder: str, title: str, page: str, *, subtitle: str = "") -> Feed:
    """Return the description of a feed of some posts, or of issues, under `feeds/FOLDER/`."""
    identity = main.id.removesuffix("all") + folder
    part = replace(main, id=identity, title=title, page=page, subtitle=subtitle, previous="")
    return _addressed(part, f"{folder}/")


def _addressed(feed: Feed, folder: str) -> Feed:
    root = f"{feed.site}feeds/{folder}"
    return replace(feed, atom=f"{root}atom.xml", rss=f"{root}rss.xml", json=f"{root}feed.json")


def asset(file: str, name: str) -> str:
    """Return the published name of the logo or the icon."""
    return name + Path(file).suffix.lower()


def announced(feed: Feed) -> pages.Discovery:
    """Return a feed as pages announce it."""
    return pages.Discovery(title=feed.title, page=feed.page, atom=feed.atom, rss=feed.rss, json=feed.json)


def site(config: Config, style: str, feeds: tuple[pages.Discovery, ...] | None = None) -> pages.Site:
    """Return the publication as its pages know it; `style` is the published name of the style sheet."""
    told = config.publication
    return pages.Site(
        title=told.title,
        site=told.url,
        style=style,
        subtitle=told.subtitle,
        description=told.description,
        language=told.language,
        timezone=told.timezone,
        author=told.author,
        rights=told.rights,
        contact=told.contact,
        postal_address=told.postal_address,
        logo=asset(told.logo, "logo") if told.logo else "",
        icon=asset(told.icon, "icon") if told.icon else "",
        generator=newsletter.__version__ if told.generator else "",
        feeds=(announced(main_feed(config)),) if feeds is None else feeds,
        newsletters=tuple(
            pages.NewsletterLink(name=one.name, title=one.title, description=one.description)
            for one in config.newsletters
        ),
        signup=f"{config.web_url}subscribe/" if config.web.signup and config.newsletters else "",
    )
