"""`newsletter dkim …`: keys that sign mails, and the records in DNS that go with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli import Context, pass_context
from newsletter.cli.output import json_option, say, say_json

if TYPE_CHECKING:
    from newsletter.digest import Signer

_LONGEST_STRING = 255  # characters of one string of a TXT record, RFC 1035 §3.3


@click.group()
def dkim() -> None:
    """Make keys that sign mails, and show the records in DNS that go with them."""


@dkim.command()
@click.option(
    "--domain", metavar="DOMAIN", help="The domain of From (default: that of the first newsletter's sender)."
)
@click.option(
    "--selector",
    metavar="NAME",
    default="newsletter",
    show_default=True,
    help="The key's name below the domain.",
)
@click.option("--ed25519", is_flag=True, help="A short key (RFC 8463), beside an RSA one: few verify it yet.")
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the key goes (default: var/secrets).",
)
@json_option
@pass_context
def keygen(
    context: Context, domain: str | None, selector: str, ed25519: bool, file: Path | None, as_json: bool
) -> None:
    """Make a key, RSA of 2048 bits unless told otherwise, and print its record and its configuration."""
    from newsletter.config import make_dkim_key
    from newsletter.digest import read_signer

    config = context.config
    domain = domain or _domain(context)
    path = file or config.path(config.secrets.token_key_file).with_name(f"dkim-{selector}.pem")
    pem = make_dkim_key(path, ed25519=ed25519)
    signer = read_signer(domain, selector, pem, str(path))
    if as_json:
        say_json({**_facts(signer), "key_file": str(path)})
        return
    say(f"The key is in {path}, readable by you alone. Put this record into the DNS of {domain}:")
    _say_record(signer)
    say("When it can be seen there, add to newsletter.toml:")
    say("")
    shown = (
        path.relative_to(config.folder.resolve()) if path.is_relative_to(config.folder.resolve()) else path
    )
    for line in ("[[dkim]]", f'domain = "{domain}"', f'selector = "{selector}"', f'key_file = "{shown}"'):
        say(line)


@dkim.command()
@json_option
@pass_context
def record(context: Context, as_json: bool) -> None:
    """Print the records in DNS of the configured keys."""
    from newsletter.errors import ConfigError
    from newsletter.issues import signers_of

    signers = signers_of(context.config)
    if not signers:
        raise ConfigError("no key is configured", where="[[dkim]]", remedy="Make one: newsletter dkim keygen")
    if as_json:
        say_json([_facts(one) for one in signers])
        return
    for one in signers:
        _say_record(one)


def _domain(context: Context) -> str:
    from newsletter.errors import InputError

    if not context.config.newsletters:
        raise InputError("no newsletter is configured", where="--domain", remedy="Say for which domain")
    return context.config.newsletters[0].sender.rpartition("@")[2]


def _facts(signer: Signer) -> dict[str, str]:
    from newsletter.digest import record_of

    name, text = record_of(signer)
    return {"name": name, "type": "TXT", "text": text}


def _say_record(signer: Signer) -> None:
    """Print a record as forms ask for it, then as a zone file has it."""
    facts = _facts(signer)
    text = facts["text"]
    strings = [text[at : at + _LONGEST_STRING] for at in range(0, len(text), _LONGEST_STRING)]
    say("")
    for what in ("name", "type", "text"):
        say(f"{what:<5} {facts[what]}")
    say("")
    say(f"{facts['name']}. IN TXT ( {' '.join(f'{chr(34)}{one}{chr(34)}' for one in strings)} )")
    say("")
