"""The examples of docs/api.md, run by curl against a real server, in their order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from calling import NOW, serving
from conftest import PublicationFactory
from newsletter.api.keys import Scope
from newsletter.config.webhooks import WebhookConfig
from newsletter.model import EventKind
from newsletter.store import Store
from test_issues import POSTS, compose, put, site

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_works(publication: PublicationFactory, sqlite_store: Store) -> None:
    config = site(publication, approval=True)
    put(sqlite_store, *POSTS)
    assert compose(sqlite_store, config, NOW).issue is not None
    examples = [block for block in BLOCKS if "curl" in block]
    assert sum(block.count("curl ") for block in examples) == 16
    with serving(config, sqlite_store) as client:
        where = {"API": f"http://127.0.0.1:{client.port}/api/v1", "TOKEN": client.token}
        for block in examples:
            done = subprocess.run(
                ["sh", "-eu", "-c", block],
                env={"PATH": os.environ["PATH"], **where},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)


def test_the_secret_that_the_page_makes_is_one(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "whsec_" in block]
    (tmp_path / "var" / "secrets").mkdir(parents=True)
    subprocess.run(["sh", "-eu", "-c", block], cwd=tmp_path, check=True, timeout=60)
    secret = tmp_path / "var" / "secrets" / "webhook"
    assert secret.stat().st_mode & 0o777 == 0o600
    hook = WebhookConfig(
        url="https://example.org/",
        events=(EventKind.ISSUE_FINISHED,),
        secret_file=Path("var/secrets/webhook"),
    )
    assert [len(key) for key in hook.secrets(tmp_path)] == [32]


@pytest.mark.parametrize("word", [*Scope, *EventKind])
def test_every_scope_and_event_is_in_the_page(word: str) -> None:
    assert f"| `{word}` |" in PAGE
