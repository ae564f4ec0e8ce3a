"""Tokens: what is made reads back, and nothing else does."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from newsletter import tokens
from newsletter.errors import TokenError
from newsletter.tokens import Purpose

KEYS: tokens.Keys = (("k2", b"second key of this publication.."), ("k1", b"first key of this publication..."))

subjects = st.from_regex(r"[a-z0-9_-]{1,12}(\.[a-z0-9_-]{1,20}){0,2}", fullmatch=True)
purposes = st.sampled_from(Purpose)


@given(subjects, purposes)
def test_what_is_made_reads_back(subject: str, purpose: Purpose) -> None:
    token = tokens.make(KEYS, purpose, subject)
    assert tokens.read(KEYS, purpose, token) == subject
    assert tokens.read(KEYS, purpose, token.upper()) == subject, "servers may change the case of a local part"


@given(subjects, purposes)
def test_the_alphabet_is_safe_in_urls_and_local_parts(subject: str, purpose: Purpose) -> None:
    token = tokens.make(KEYS, purpose, subject)
    assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", token), "a dot-atom (RFC 5322) that no URL escapes"


@pytest.mark.parametrize("subject", ["9999999999.9999999999", "1234567890.weekly", "7.quarterly-report"])
def test_a_token_fits_a_local_part(subject: str) -> None:
    longest = (("abcdefgh", b"k" * 32),)
    assert len(tokens.make(longest, Purpose.BOUNCE, subject)) <= 60


def test_a_mac_has_at_least_128_bits_and_is_stable() -> None:
    token = tokens.make(KEYS, Purpose.UNSUBSCRIBE, "7.weekly")
    key_id, number, newsletter, mac = token.split(".")
    assert (key_id, number, newsletter) == ("k2", "7", "weekly")
    assert len(mac) * 5 >= 128
    assert token == "k2.7.weekly.jimgkcyqyf6zawn3bwucydpdcu", "links already sent must go on reading"


@given(subjects, purposes, purposes)
def test_a_token_is_good_for_one_purpose(subject: str, made: Purpose, asked: Purpose) -> None:
    assume(made != asked)
    with pytest.raises(TokenError):
        tokens.read(KEYS, asked, tokens.make(KEYS, made, subject))


@given(subjects, purposes, st.data())
def test_one_changed_character_is_a_forgery(subject: str, purpose: Purpose, data: st.DataObject) -> None:
    token = tokens.make(KEYS, purpose, subject)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-_."))
    assume(other != token[at])
    with pytest.raises(TokenError):
        tokens.read(KEYS, purpose, token[:at] + other + token[at + 1 :])


@given(st.text(max_size=300), purposes)
def test_any_text_is_refused_without_being_repeated(text: str, purpose: Purpose) -> None:
    with pytest.raises(TokenError) as error:
        tokens.read(KEYS, purpose, text)
    assert len(text) < 20 or text not in str(error.value)


def test_rotated_keys_keep_verifying_until_they_are_removed() -> None:
    old = tokens.make(KEYS[1:], Purpose.UNSUBSCRIBE, "7.weekly")
    assert tokens.read(KEYS, Purpose.UNSUBSCRIBE, old) == "7.weekly"
    with pytest.raises(TokenError):
        tokens.read(KEYS[:1], Purpose.UNSUBSCRIBE, old)


def test_a_key_under_another_id_makes_another_token() -> None:
    renamed = (("k9", KEYS[0][1]),)
    token = tokens.make(KEYS, Purpose.UNSUBSCRIBE, "7.weekly")
    with pytest.raises(TokenError):
        tokens.read(renamed, Purpose.UNSUBSCRIBE, token.replace("k2.", "k9.", 1))


def test_the_key_compared_against_for_unknown_ids_opens_nothing() -> None:
    zero = tokens.make((("kx", b"\0" * 32),), Purpose.UNSUBSCRIBE, "7.weekly")
    with pytest.raises(TokenError):
        tokens.read(KEYS, Purpose.UNSUBSCRIBE, zero)


def test_ids_that_differ_only_in_case_are_both_tried() -> None:
    keys = (("A1", b"a" * 32), ("a1", b"b" * 32))
    for one in (keys[:1], keys[1:]):
        assert tokens.read(keys, Purpose.BOUNCE, tokens.make(one, Purpose.BOUNCE, "1.2")) == "1.2"


@pytest.mark.parametrize("subject", ["", ".", "1.", "a..b", "A", "a b", "a@b", "é", "a\n", "x" * 200])
def test_a_subject_that_could_not_read_back_is_a_programming_error(subject: str) -> None:
    with pytest.raises(ValueError):
        tokens.make(KEYS, Purpose.UNSUBSCRIBE, subject)
