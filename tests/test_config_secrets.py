"""Secrets of the configuration: never shown in an error, a trace or a repr; keys are made once."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configurations import SECRET, mistake
from conftest import PublicationFactory
from newsletter.config.secretfiles import parse_keys
from newsletter.errors import ConfigError

# Secrets


@pytest.mark.parametrize(
    "changes",
    [
        {"smtp": {"password": [SECRET]}},
        {"smtp": {"passwrod": SECRET}},
        {"smtp": SECRET},
        {"store": f"postgresql://u:{SECRET}@h/d"},
        {"store": {"url": {"value": SECRET}}},
        {"store": {"url": SECRET, "port": 1}},
        {"secrets": {"token_keys": [SECRET]}},
        {"secrets": SECRET},
        {"publication": {"url": f"https://u:{SECRET}@example.org/"}},
        {"feeds": {"hubs": [f"https://{SECRET}@example.org/"]}},
        {"sources": [{"name": "a", "kind": "feed", "url": f"https://u:{SECRET}@example.org/"}]},
        {"smtp": {"security": "none", "username": "u", "password": SECRET}},
        {"transports": {"pigeon": SECRET}},
    ],
)
def test_a_mistake_beside_a_secret_does_not_show_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    mistake(tmp_path, changes)


def test_a_configuration_shows_no_secret(publication: PublicationFactory) -> None:
    key = base64.b64encode(SECRET.encode()).decode()
    config = publication(
        {
            "store": {"url": f"postgresql://u:{SECRET}@h/d"},
            "smtp": {"security": "tls", "username": "u", "password": SECRET},
            "secrets": {"token_keys": f"k1:{key}"},
            "transports": {"pigeon": {"api_key": SECRET}},
            "sources": [{"name": "a", "kind": "wordpress", "options": {"password": SECRET}}],
        }
    )
    for shown in (
        repr(config),
        str(config),
        f"{config.smtp}",
        repr(config.sources),
        config.model_dump_json(),
    ):
        assert key not in shown
    for shown in (repr(config), str(config), repr(config.smtp), repr(config.sources[0])):
        assert SECRET not in shown
    assert config.store_url == f"postgresql://u:{SECRET}@h/d"
    assert config.token_keys() == (("k1", SECRET.encode()),)


def test_the_stores_url_from_a_file(publication: PublicationFactory) -> None:
    config = publication({"store": {"url_file": "store.url"}})
    with pytest.raises(
        ConfigError, match=r"url_file = .*store\.url: the secret cannot be read: No such file"
    ):
        _ = config.store_url
    (config.folder / "store.url").write_text("")
    with pytest.raises(ConfigError, match="the secret is empty"):
        _ = config.store_url
    (config.folder / "store.url").write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        _ = config.store_url
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    (config.folder / "store.url").write_text(f"postgresql://u:{SECRET}@h/d\n")
    assert config.store_url == f"postgresql://u:{SECRET}@h/d"


# Token keys


def test_a_key_is_made_once_for_its_owner_alone(publication: PublicationFactory) -> None:
    config = publication()
    before = os.umask(0)
    try:
        ((key_id, key),) = config.token_keys()
    finally:
        os.umask(before)
    path = config.path("var/secrets/token.keys")
    assert (key_id, len(key)) == ("k1", 32)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert config.token_keys() == ((key_id, key),)


def test_threads_that_make_the_key_at_once_agree(publication: PublicationFactory) -> None:
    for number in range(10):
        config = publication(folder=f"site{number}")
        with ThreadPoolExecutor(8) as pool:
            made = {pending.result() for pending in [pool.submit(config.token_keys) for _ in range(16)]}
        assert made == {config.token_keys()}


def test_processes_that_make_the_key_at_once_agree(publication: PublicationFactory) -> None:
    config = publication()
    program = (
        "import sys; from pathlib import Path; from newsletter.config import load\n"
        "config = load(Path(sys.argv[1]), {}); print('ready', flush=True); sys.stdin.readline()\n"
        "print(config.token_keys()[0][1].hex())"
    )
    command = [sys.executable, "-c", program, str(config.folder)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=30)[0].strip() for process in both}
    assert said == {config.token_keys()[0][1].hex()}


def test_a_key_that_cannot_be_made(publication: PublicationFactory) -> None:
    config = publication({"secrets": {"token_key_file": "file/token.keys"}})
    (config.folder / "file").write_text("x")
    with pytest.raises(ConfigError, match="the key cannot be made"):
        config.token_keys()


GOOD = base64.b64encode(b"k" * 16).decode()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "there is no token key"),
        ("# made by hand", "token key 1 is malformed"),
        (GOOD, "token key 1 is malformed"),
        (f"k1:{GOOD}\nk2:{GOOD[:8]}", "token key 2 is malformed"),
        (f"k1:{GOOD}\nk1:{GOOD}", "token key 2 has the id of an earlier one"),
        (f"k.1:{GOOD}", "token key 1 is malformed"),
        (f"k1:{GOOD}!", "token key 1 is malformed"),
    ],
)
def test_malformed_keys_are_not_shown(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        parse_keys(text, "keys")
    assert GOOD not in "".join(traceback.format_exception(caught.value))


@given(st.lists(st.tuples(st.from_regex(r"\A[A-Za-z0-9]{1,8}\Z"), st.binary(min_size=16)), min_size=1))
def test_keys_come_back_in_their_order(keys: list[tuple[str, bytes]]) -> None:
    unique = tuple(dict(keys).items())
    lines = [f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in unique]
    assert parse_keys("\n".join(lines), "keys") == parse_keys(" ".join(lines), "keys") == unique
