"""How an issue's posts are arranged: one after the other, or as a front page, a lead and sections by tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from newsletter.digest.material import Depth, Design, Material
from newsletter.digest.stories import Story, Tellings, brief, tell
from newsletter.model import Post

LEAD = 480  # characters of running text that the lead of a front page may have
BRIEF, SHORT_BRIEF = (
    260,
    140,
)  # characters of the other stories' one paragraph; the second when room is scarce


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Stories that stand together; without a title they follow each other plainly."""

    title: str
    stories: tuple[Story, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An issue's stories as they are arranged, and by seq how much of each post they hold.

    A letter has no `lead`, and one untitled section.
    """

    lead: Story | None
    sections: tuple[Section, ...]
    depths: Mapping[int, Depth]

    @property
    def stories(self) -> tuple[Story, ...]:
        """All stories, in the order in which they stand."""
        return (*(() if self.lead is None else (self.lead,)), *self.listed)

    @property
    def listed(self) -> tuple[Story, ...]:
        """The stories below the lead: those of a table of contents."""
        return tuple(story for section in self.sections for story in section.stories)


def tell_posts(material: Material, posts: tuple[Post, ...], full: int, room: int, shared: Tellings) -> Told:
    """Tell an issue's posts as its design arranges them: `full` of them whole, the others in `room` characters."""
    if material.design is Design.LETTER:
        stories = tuple(
            tell(post, Depth.FULL if place < full else Depth.EXCERPT, room, shared)
            for place, post in enumerate(posts)
        )
        depths = {post.seq: story.depth for post, story in zip(posts, stories, strict=True)}
        return Told(lead=None, sections=(Section(title="", stories=stories),), depths=depths)
    return _front(material, posts, room, shared)


def _front(material: Material, posts: tuple[Post, ...], room: int, shared: Tellings) -> Told:
    """Tell the first post that may be shown at length, the others as briefs in their sections.

    The lead is the post whose title the subject gives; it is told first, for notes of the text part count on.
    """
    first = next((post for post in posts if post.content_note is None), None)
    lead = None if first is None else tell(first, Depth.EXCERPT, min(room, LEAD), shared)
    told = {} if first is None or lead is None else {first.seq: lead.depth}
    sections = []
    rest = tuple(post for post in posts if post is not first)
    for title, some in divide(rest, material.sections, shared.words.other_stories):
        stories = tuple(brief(post, BRIEF if room else SHORT_BRIEF, shared) for post in some)
        told |= {post.seq: story.depth for post, story in zip(some, stories, strict=True)}
        sections.append(Section(title=title, stories=stories))
    return Told(lead=lead, sections=tuple(sections), depths=told)


def divide(posts: tuple[Post, ...], tags: tuple[str, ...], rest: str) -> list[tuple[str, tuple[Post, ...]]]:
    """Divide posts into titled sections: each into the first one whose tag it has, what is left under `rest`.

    Tags are compared without regard to case. Empty sections are left out; without `tags` there is one, untitled.
    """
    sections: dict[str, list[Post]] = {tag.casefold(): [] for tag in tags}
    titles = {tag.casefold(): tag[:1].upper() + tag[1:] for tag in tags}
    others: list[Post] = []
    for post in posts:
        own = {tag.casefold() for tag in post.tags}
        home = next((some for tag, some in sections.items() if tag in own), others)
        home.append(post)
    divided = [(titles[tag], some) for tag, some in sections.items()]
    divided.append((rest if tags else "", others))
    return [(title, tuple(some)) for title, some in divided if some]
