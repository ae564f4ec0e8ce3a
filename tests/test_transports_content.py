"""What a digest vouches for: its content goes over the wire as it is, with no look at it and no dot doubled."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from letters import ANN, compiled, mailer_of
from newsletter.digest import slots, tracing
from newsletter.digest.encoding import Segments
from newsletter.errors import InputError
from newsletter.transports.smtp.envelope import content_fault, stuff

DIGEST = compiled()
MAILERS = tuple(mailer_of(DIGEST, title=title) for title in ("The Herald Weekly", ".é"))
LONG = st.text(st.sampled_from(".\n\r ab=é\0\u2028"), max_size=400)
LINE = st.text(st.sampled_from(".a =éF"), max_size=200)


@given(LONG, st.lists(LINE, min_size=1, max_size=3))
def test_no_encoded_line_needs_a_look_or_a_second_dot(text: str, values: list[str]) -> None:
    fields = tracing.FIELDS[: len(values)]
    pieces: list[str | slots.Slot] = [text]
    for field in fields:
        pieces += [slots.Slot(field, slots.Place.PLAIN), text]
    body = Segments([*pieces, "\n"]).fill(dict(zip(fields, values, strict=False)))
    assert body.isascii()
    assert not content_fault(body)
    assert stuff(body) == body


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from('.aé"\\,= '), max_size=60),
    st.sampled_from(["ann", "zoë", ".x", "a.b", "a" * 64, "b" * 63]),
)
def test_a_digest_that_vouches_for_itself_is_right(name: str, local: str) -> None:
    for made in MAILERS:
        try:
            message = made(replace(ANN, name=name, address=f"{local}@example.org"))
        except InputError:
            continue
        assert message.canonical is local.isascii()
        if message.canonical:
            assert message.content.isascii()
            assert not content_fault(message.content)
            assert stuff(message.content) == message.content


def test_a_digest_with_a_line_that_is_too_long_does_not_vouch_for_itself() -> None:
    message = mailer_of(DIGEST, web_url="https://news.example.org/" + "x" * 1000 + "/")(ANN)
    assert not message.canonical
    assert content_fault(message.content)
