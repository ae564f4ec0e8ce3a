"""Every mistake in the configuration gives one line: where, what, and what is allowed."""

from __future__ import annotations

from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from configurations import DEFAULT, SECRET, WEEKLY, merge, mistake, refusal, weekly, write, write_toml
from conftest import PublicationFactory
from newsletter.config import Config, NewsletterConfig, PublicationConfig, load
from newsletter.errors import ConfigError

SAME_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# What is right


def test_the_defaults(publication: PublicationFactory) -> None:
    config = publication()
    assert config.publication.tag_prefix == "tag:harbour.example.org,2026-01-01:"
    assert config.publication.id_date == date(2026, 1, 1)
    assert config.newsletter("weekly").schedule.at == time(7, 0)
    assert config.gather.every == timedelta(minutes=15)
    assert config.web_url == config.publication.url == "https://harbour.example.org/"
    assert config.store_url == f"sqlite:///{config.folder}/var/newsletter.db"


def test_a_base_url_gets_its_slash(publication: PublicationFactory) -> None:
    assert (
        publication({"publication": {"url": "https://example.org"}}).publication.url == "https://example.org/"
    )


def test_the_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load(write(tmp_path, "\ufeff" + write_toml(DEFAULT)), {}).publication.title == "The Harbour Post"


def test_paths_are_of_the_publications_folder(publication: PublicationFactory) -> None:
    config = publication({"maildir": {"path": "../out"}})
    assert config.path(config.maildir.path) == config.folder.parent / "out"
    assert config.path("/elsewhere") == Path("/elsewhere")


def test_nothing_can_be_changed(publication: PublicationFactory) -> None:
    with pytest.raises(ValidationError):
        publication().publication.title = "Another"


def test_a_newsletter_that_is_not_there(publication: PublicationFactory) -> None:
    with pytest.raises(ConfigError, match="Known: weekly"):
        publication().newsletter("daily")
    with pytest.raises(ConfigError, match="none is configured"):
        publication({"newsletters": []}).newsletter("daily")


# The file as a whole


def test_no_file(tmp_path: Path) -> None:
    assert "there is no publication here. Make one with: newsletter init" in refusal(tmp_path)
    assert "there is no publication here" in refusal(tmp_path / "nowhere")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "newsletter.toml").mkdir()
    assert "DIR/newsletter.toml: it cannot be read: Is a directory" in refusal(tmp_path)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "newsletter.toml").write_bytes(f"# {SECRET} caf\xe9".encode("latin-1"))
    assert refusal(tmp_path) == "DIR/newsletter.toml: it is not UTF-8 text. Save it as UTF-8"


@pytest.mark.parametrize("toml", ["[publication\n", "a = ", "a = 1\na = 2", "a = \x00", "a = " + "[" * 5000])
def test_a_file_that_is_no_toml(tmp_path: Path, toml: str) -> None:
    assert refusal(write(tmp_path, toml)).startswith("DIR/newsletter.toml: it is not valid TOML")


def test_an_empty_file(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, ""))
    assert said == "DIR/newsletter.toml: publication: this key is needed and missing. Add it"


# One key


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"publication": {"titel": "x"}}, "publication.titel: this key is not known. Did you mean title?"),
    ({"newsleter": {}}, "newsleter: this key is not known. Did you mean newsletters?"),
    ({"folder": "/"}, "folder: this key is not known. Did you mean folders?"),
    ({"gather": {"xyzzy": 1}}, "gather.xyzzy: this key is not known. Known here: every, "),
    (
        weekly(schedule={"evry": "week"}),
        "newsletters[0].schedule.evry: this key is not known. Did you mean every?",
    ),
    (
        weekly(schedule={"every": "fortnight"}),
        "'fortnight' is not allowed: Input should be 'day', 'week' or 'month'",
    ),
    (weekly(schedule={"on": ["lundi"]}), "newsletters[0].schedule.on[0]: 'lundi' is not allowed"),
    (weekly(schedule={"on": []}), "newsletters[0].schedule.on: "),
    (weekly(schedule={"day": 32}), "newsletters[0].schedule.day: 32 is not allowed"),
    (weekly(schedule={"at": "7 o'clock"}), 'newsletters[0].schedule.at: "7 o\'clock" is not allowed'),
    (weekly(schedule={"at": "07:00+02:00"}), "a local time is needed"),
    (weekly(schedule={"timezone": "Brussels"}), "'Brussels' is not allowed: an IANA time zone is needed"),
    (weekly(name="Weekly News"), "'Weekly News' is not allowed: a name of lower-case letters"),
    (
        weekly(sender="weekly@"),
        "newsletters[0].sender: 'weekly@' is not allowed: an e-mail address is needed",
    ),
    (weekly(since="soon"), "newsletters[0].since: 'soon' is not allowed"),
    (
        weekly(max_lateness="2 fortnights"),
        "newsletters[0].max_lateness: '2 fortnights' is not allowed: a duration",
    ),
    (weekly(max_posts=0), "newsletters[0].max_posts: 0 is not allowed: Input should be greater than"),
    ({"newsletters": [WEEKLY, WEEKLY]}, "[[newsletters]] name 'weekly' is used twice"),
    ({"sources": [{"name": "a", "kind": "feed"}] * 2}, "[[sources]] name 'a' is used twice"),
    ({"sources": [{"name": "a"}]}, "sources[0].kind: this key is needed and missing. Add it"),
    ({"sources": {"name": "a"}}, "sources: "),
    (
        {"publication": {"url": "harbour.example.org"}},
        "publication.url: 'harbour.example.org' is not allowed",
    ),
    ({"publication": {"url": "https://example.org/?a=b"}}, "a URL without query and fragment is needed"),
    ({"publication": {"url": "https://example.org:port/"}}, "publication.url: "),
    ({"publication": {"language": "English"}}, "a language tag (BCP 47) is needed"),
    ({"publication": {"id_authority": "Example.org/x"}}, "a domain or e-mail address of yours"),
    ({"publication": {"id_date": "January"}}, "publication.id_date: 'January' is not allowed"),
    (
        {"theme": {"accent": "blue"}},
        "theme.accent: 'blue' is not allowed: a colour of six hexadecimal digits",
    ),
    (
        {"theme": {"muted": "#8a8f94"}},
        "theme.muted: '#8a8f94' is not allowed: its contrast with paper #fdfcfa is 3.18, and 4.5 is the least",
    ),
    (
        {"theme": {"background": "#d8d4cb"}},
        "theme.muted: '#56616b' is not allowed: its contrast with background #d8d4cb",
    ),
    (
        {"theme": {"paper": "#222222"}},
        "theme.text: '#1d2329' is not allowed: its contrast with paper #222222",
    ),
    (
        {"theme": {"dark_text": "#5a5a5a"}},
        "theme.dark_text: '#5a5a5a' is not allowed: its contrast with dark_paper",
    ),
    (
        {"theme": {"dark_background": "#40474f"}},
        "theme.dark_muted: '#a3adb7' is not allowed: its contrast with dark_",
    ),
    (
        {"theme": {"paper": "#FFFFFF"}},
        "theme.paper: '#FFFFFF' is not allowed: a colour beside pure black or white",
    ),
    (
        {"theme": {"dark_background": "#000000"}},
        "theme.dark_background: '#000000' is not allowed: a colour beside",
    ),
    (
        {"theme": {"body_font": "Arial"}},
        "theme.body_font: 'Arial' is not allowed: the last name must be a generic",
    ),
    ({"theme": {"body_font": "Arial, url(x), serif"}}, "a list of font names is needed, without url("),
    ({"theme": {"heading_font": "Arial; color: red, serif"}}, "a list of font names is needed"),
    ({"theme": {"heading_font": "a{}, serif"}}, "a list of font names is needed"),
    ({"theme": {"heading_font": "</style>, serif"}}, "a list of font names is needed"),
    ({"theme": {"heading_font": "'Arial, serif"}}, "each quote of a font's name must be closed by the same"),
    ({"theme": {"heading_font": ", serif"}}, "font names are needed, with commas between them"),
    ({"gather": {"every": 15}}, "gather.every: 15 is not allowed: a duration in quotes is needed"),
    ({"gather": {"every": "0s"}}, "a duration of one second to a hundred years is needed"),
    ({"gather": {"every": "9" * 40 + "w"}}, "a duration of one second to a hundred years is needed"),
    ({"delivery": {"on_crash": "ignore"}}, "'presume', 'resend' or 'hold'"),
    ({"delivery": {"connections": "four"}}, "delivery.connections: 'four' is not allowed"),
    ({"smtp": {"port": 70000}}, "smtp.port: 70000 is not allowed"),
    (
        {"smtp": {"username": "u"}},
        "smtp: credentials are never sent without TLS: set security to starttls or tls",
    ),
    (
        {"smtp": {"local_hostname": "a\r\nDATA"}},
        "smtp.local_hostname: 'a\\r\\nDATA' is not allowed: a host name",
    ),
    ({"dkim": [{"domain": "", "selector": "s", "key_file": "k"}]}, "dkim[0].domain: '' is not allowed"),
    ({"transports": {"pigeon": 3}}, "transports.pigeon: "),
    ({"smtp": "mail.example.org"}, "smtp: Input should be"),
    (weekly(title="x" * 301), "… is not allowed: at most 300 characters are allowed"),
]


@pytest.mark.parametrize(("changes", "expected"), MISTAKES, ids=[expected[:40] for _, expected in MISTAKES])
def test_a_mistake_names_the_key_the_value_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    said = mistake(tmp_path, changes)
    assert said.startswith("DIR/newsletter.toml")
    assert expected in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "stack", ['"Segoe UI", serif', "-apple-system, 'A b', Sans-Serif", "'微软雅黑', monospace"]
)
def test_stacks_of_fonts_that_end_in_a_generic_family(publication: PublicationFactory, stack: str) -> None:
    assert publication({"theme": {"body_font": stack}}).theme.body_font == stack


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    said = mistake(tmp_path, {"smtp": {"port": 0}, "web": {"port": -1}, "theme": {"text": "red"}})
    assert said.endswith("(2 more to mend)")


HEADERS = ["publication.title", "publication.subtitle", "publication.author", "newsletters.title"]
HEADERS += ["newsletters.sender_name", "newsletters.sender_id", "newsletters.subject"]


@pytest.mark.parametrize("key", HEADERS)
@pytest.mark.parametrize("bad", ["\n", "\r", "\t", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"])
def test_what_becomes_a_header_is_one_line(tmp_path: Path, key: str, bad: str) -> None:
    table, name = key.split(".")
    value = f"Harbour{bad}Bcc: someone@example.org"
    said = mistake(tmp_path, weekly(**{name: value}) if table == "newsletters" else {table: {name: value}})
    assert "one line of text without control characters is needed" in said
    assert bad not in said


# The environment


def test_the_environment_lies_over_the_file(publication: PublicationFactory) -> None:
    environment = {
        "NEWSLETTER_SMTP__PORT": "2587",
        "NEWSLETTER_SMTP__PASSWORD": SECRET,
        "NEWSLETTER_GATHER__EVERY": "1h",
        "NEWSLETTER_FEEDS__TAGS": "false",
        "NEWSLETTER_GOLDEN": "no key of ours",
        "PATH": "/bin",
    }
    config = publication({"smtp": {"security": "tls"}}, environment=environment)
    assert config.smtp.port == 2587
    assert config.smtp.password is not None
    assert config.smtp.password.get_secret_value() == SECRET
    assert config.gather.every == timedelta(hours=1)
    assert config.feeds.tags is False


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("NEWSLETTER_SMTP__PORT", "high", "NEWSLETTER_SMTP__PORT: 'high' is not allowed"),
        (
            "NEWSLETTER_SMTP__PASWORD",
            SECRET,
            "NEWSLETTER_SMTP__PASWORD: this key is not known. Did you mean password?",
        ),
        (
            "NEWSLETTER_SMPT__PASSWORD",
            SECRET,
            "NEWSLETTER_SMPT__PASSWORD: the environment cannot set that section",
        ),
        ("NEWSLETTER_NEWSLETTERS__TITLE", "x", "NEWSLETTER_NEWSLETTERS__TITLE: the environment cannot set"),
        ("NEWSLETTER_FOLDER__X", "x", "NEWSLETTER_FOLDER__X: the environment cannot set that section"),
        (
            "NEWSLETTER_PUBLICATION__TITLE",
            "a\nb",
            "NEWSLETTER_PUBLICATION__TITLE: 'a\\nb' is not allowed: one line",
        ),
        ("NEWSLETTER_STORE__URL_FILE", "", ""),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    folder = write(tmp_path, write_toml(DEFAULT))
    if expected:
        assert expected in refusal(folder, {variable: value})
    else:
        load(folder, {variable: value})


def test_the_processes_own_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSLETTER_WEB__PORT", "9999")
    assert load(write(tmp_path, write_toml(DEFAULT))).web.port == 9999


json_like = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "x", "url"]), inner),
    max_leaves=5,
)
PLACES: list[tuple[str, str | None]] = [(key, None) for key in Config.model_fields if key != "folder"]
PLACES += [("publication", key) for key in PublicationConfig.model_fields]
PLACES += [("newsletters", key) for key in NewsletterConfig.model_fields]


@SAME_FOLDER
@given(place=st.sampled_from(PLACES), value=json_like)
def test_no_value_anywhere_breaks_the_loading(
    tmp_path: Path, place: tuple[str, str | None], value: Any
) -> None:
    table, key = place
    if key is None:
        changes = {table: value}
    else:
        changes = weekly(**{key: value}) if table == "newsletters" else {table: {key: value}}
    folder = write(
        tmp_path, write_toml({**merge(DEFAULT, changes), **({table: value} if key is None else {})})
    )
    said = ""
    try:
        load(folder, {})
    except ConfigError as e:
        said = str(e)
    assert "\n" not in said
    assert not said or str(folder) in said
