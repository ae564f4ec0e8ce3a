"""Composing a digest and making each reader's message."""

from __future__ import annotations

import hashlib
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from time import process_time

import dkim
import jinja2
import premailer
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.harness import Figure, configuration, median, paired
from newsletter import digest, templating
from newsletter.config import Config
from newsletter.issues import mail_settings
from newsletter.model import Issue, IssueState, Post, Reader
from newsletter.publisher import Publisher
from newsletter.store import posts

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FEW, MANY = 3, 2000
#: A page of about 80 kB once encoded, with eighty places that differ between readers.
SLOTTED = """<!DOCTYPE html><html><head><title>x</title></head><body><div>
{% for n in range(16) %}<p>{{ reader.since }}, {{ "words of a paragraph that goes on, é, and on = " * 80 }}</p>
<p>{{ reader.since }} <a href="{{ reader.unsubscribe }}">out</a> <a href="{{ reader.preferences }}">more</a></p>
<p>{{ reader.since }}</p>{% endfor %}
</div></body></html>
"""


def reader(number: int) -> Reader:
    """Return one of many readers, all different."""
    return Reader(
        subscriber_id=number,
        address=f"reader{number}@d{number % 500}.example.org",
        name=f"Zoë {number}",
        since=NOW,
    )


def looks(config: Config) -> digest.Looks:
    """Return the example publication's looks."""
    told = config.publication
    return digest.Looks(
        publication=told.title,
        url=told.url,
        language=told.language,
        timezone="Australia/Sydney",
        postal_address=told.postal_address,
        contact=told.contact,
        theme=config.theme.model_dump(),
    )


def compiled(config: Config, told: tuple[Post, ...], sources: dict[str, str] | None = None) -> digest.Digest:
    """Compile an issue of these posts, with the packaged templates or these."""
    material = digest.Material(
        newsletter="weekly",
        title="The Weekly",
        number=1,
        due=NOW,
        subject="The Weekly: cranes & ships",
        looks=looks(config),
        posts=told,
        full_text=True,
    )
    chosen = templating.template_set(templating.environment(), *digest.template_names(material.design))
    return digest.compile_digest(material, templating.TemplateSet({**chosen.sources, **(sources or {})}))


def mailer(config: Config, made: digest.Digest, *signers: digest.Signer) -> digest.Mailer:
    """Return what makes the messages of a digest."""
    issue = Issue(
        id=1,
        newsletter="weekly",
        number=1,
        due=NOW,
        state=IssueState.APPROVED,
        subject="The Weekly: cranes & ships",
        dated=NOW,
        html=made.html,
        sha256="ab" * 32,
    )
    settings = replace(mail_settings(config, config.newsletter("weekly")), signers=signers)
    frozen = digest.thaw(made.frozen)
    return digest.Mailer(issue, frozen, templating.TemplateSet(frozen.templates), settings)


def send(make: Callable[[Reader], object], count: int) -> None:
    """Make the messages of so many readers."""
    for number in range(count):
        make(reader(number))


class Plainly:
    """A message as many senders make it: template, inliner, EmailMessage and dkimpy for each recipient."""

    def __init__(self, page: str, text: str, key: bytes = b"", *, inline: bool = True) -> None:
        self.page, self.text = (jinja2.Template(one.replace("Zoë 0", "{{ name }}")) for one in (page, text))
        self.key = key
        self.inline = inline

    def __call__(self, one: Reader) -> bytes:
        page = self.page.render(name=one.name)
        message = EmailMessage(policy=policy.SMTP)
        message["From"], message["To"], message["Subject"] = "weekly@example.org", one.address, "Weekly"
        message.set_content(self.text.render(name=one.name))
        page = premailer.transform(page, disable_validation=True) if self.inline else page
        message.add_alternative(page, subtype="html")
        content = message.as_bytes()
        if not self.key:
            return content
        return bytes(dkim.sign(content, b"s", b"example.org", self.key)) + content


def micro(each: float) -> str:
    """Write a time for one message."""
    return f"{each * 1e6:,.0f} µs"


def against(what: str, make: digest.Mailer, peer: Plainly, goal: str) -> Figure:
    """Compare messages a second; the peer is slow, so it makes a few and both are counted for one."""
    ours, theirs, _ = paired(partial(send, make, MANY // 10), partial(send, peer, FEW), rounds=3)
    one, other = ours / (MANY // 10), theirs / FEW
    return Figure(what, micro(one), micro(other), f"{other / one:,.0f}× its rate", goal)


def figures() -> list[Figure]:
    """Measure compiling, filling, signing and memory."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    with tempfile.TemporaryDirectory() as name, Publisher.open(configuration(Path(name), 25)) as publisher:
        publisher.gather(now=NOW)
        config = publisher.config
        with publisher.store.read() as tx:
            real = list(posts.live_posts(tx))
        thirty = tuple(replace(real[n % len(real)], seq=n, id=f"tag:{n}") for n in range(30))
        made = compiled(config, tuple(real[:10]))
        signer = digest.Signer(domain="example.org", selector="s", key=key)
        ours, signed = mailer(config, made), mailer(config, made, signer)
        page, text = ours.fill(reader(0))
        return [
            Figure("compiling an issue of 10 posts", f"{median(partial(compiled, config, thirty[:10])) * 1e3:,.0f} ms"),
            Figure("compiling an issue of 30 posts", f"{median(partial(compiled, config, thirty)) * 1e3:,.0f} ms"),
            *of_slots(config, made, signer),
            against(
                f"a message of {len(ours(reader(0)).content) / 1e3:.0f} kB, unsigned, against jinja2, premailer and"
                " EmailMessage for each reader",
                ours, Plainly(page, text), "≥ 300×",
            ),
            against(
                "the same signed with RSA-2048, the peer by dkimpy", signed, Plainly(page, text, pem), "≥ 50×"
            ),
            of_memory(ours),
        ]  # fmt: skip


def of_slots(config: Config, made: digest.Digest, signer: digest.Signer) -> list[Figure]:
    """Measure a message of 80 kB with eighty slots: filled alone, filled and signed beside the bare signature."""
    page, text = digest.template_names(digest.Design.LETTER)
    sources = {page: SLOTTED, text: "{{ reader.name }}, {{ reader.address }}\n"}
    slotted = compiled(config, (), sources)
    make, signed = mailer(config, slotted), mailer(config, slotted, signer)
    variants = make._variants
    values = [
        dict(make._values(reader(n), f"{config.web_url}u/k1.{n}.weekly.{'a' * 26}")) for n in range(MANY)
    ]
    content = make(reader(0)).content
    body = content.partition(b"\r\n\r\n")[2]
    assert isinstance(signer.key, rsa.RSAPrivateKey)
    key, head = signer.key, b"h" * 1500
    count = variants.segments(values[0]).count

    def fill() -> None:
        for one in values:
            variants.body(one)

    def copy() -> None:
        for _ in values:
            bytearray(body)

    own = [b"%b: %b\r\n" % (name, b"x" * 60) for name in (b"To", b"Message-ID", b"List-Unsubscribe")]

    def seal() -> None:
        for one in values[: MANY // 4]:
            signed._seal.sign(own, variants.body(one))

    def floor() -> None:
        for _ in range(MANY // 4):
            hashlib.sha256(body).digest()
            key.sign(head, padding.PKCS1v15(), hashes.SHA256())

    page, text = make.fill(reader(0))
    peer = Plainly(page, text, inline=False)
    filled, copied, _ = paired(fill, copy, clock=process_time)
    sealed, bare, ratio = paired(seal, floor, clock=process_time)
    ours, whole, times = paired(partial(send, signed, MANY // 4), floor, clock=process_time)
    naive = median(partial(send, peer, 20), rounds=3) / 20
    size = f"{len(content) / 1e3:.0f} kB with {count} slots"
    return [
        Figure(
            f"CPU of filling and encoding {size}, against copying as many bytes",
            micro(filled / MANY), micro(copied / MANY), "", "≤ 40 µs",
        ),
        Figure("the same by jinja2 and EmailMessage", "", micro(naive), f"{naive / (filled / MANY):,.0f}× our time"),
        Figure(
            "CPU of filling and signing it, against a bare RSA-2048 signature and one SHA-256 of its body",
            micro(sealed / (MANY // 4)), micro(bare / (MANY // 4)), f"{1 / ratio:.2f}× its time", "≤ 1.2×",
        ),
        Figure(
            "CPU of the whole message, with its tokens, headers and envelope, against the same",
            micro(ours / (MANY // 4)), micro(whole / (MANY // 4)), f"{1 / times:.2f}× its time",
        ),
    ]  # fmt: skip


def of_memory(make: digest.Mailer) -> Figure:
    """Measure what many readers leave in memory."""
    tracemalloc.start()
    send(make, 6000)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(6000, 20_000):
        make(reader(number))
    grown = (tracemalloc.get_traced_memory()[0] - before) / 1e3
    tracemalloc.stop()
    return Figure("memory that 14,000 further readers leave behind", f"{grown:,.0f} kB", "", "", "flat")
