"""The ground of a whole delivery: a publication of its own, its subscribers, and an issue that may be delivered."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import bindparam, text

from bench.harness import NOW, ROOT
from newsletter.publisher import Publisher
from newsletter.store.columns import Instant

WORDS = "words of a paragraph that is the same for everybody, é, and an = now and then, "
#: Put behind the imprint: with the rest it makes 80 kB, and 85 places that differ between readers.
SLOTTED = f"""{{% if reader %}}{{% for n in range(20) %}}
<p class="foot">{{{{ reader.since }}}}, {{{{ reader.since }}}}: {WORDS * 13} {{{{ reader.since }}}},
{{{{ reader.since }}}}</p>
{{% endfor %}}{{% endif %}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How one delivery is configured; what is left out is as the product has it."""

    port: int
    dkim: bool = True
    tls: bool = False
    connections: int = 0
    store: str = ""  # a URL; the publication's own SQLite when empty


def lay(folder: Path, setting: Setting) -> None:
    """Write a publication: the example's posts, keys, templates that make 80 kB, and its configuration."""
    for name in ("posts", "intro.md"):
        (folder / name).symlink_to(ROOT / name)
    imprint = "digest/parts/imprint.html.j2"
    packaged = resources.files("newsletter").joinpath("templates", imprint).read_text(encoding="utf-8")
    (folder / "templates" / imprint).parent.mkdir(parents=True)
    (folder / "templates" / imprint).write_text(packaged + SLOTTED, encoding="utf-8")
    (folder / "dkim.pem").write_bytes(pem(key()))
    given = (ROOT / "newsletter.toml").read_text(encoding="utf-8").partition("[delivery]")[0]
    tables = {"delivery": _delivery(setting), "smtp": _smtp(folder, setting)}
    if setting.store:
        tables["store"] = {"url": setting.store}
    lines = [given]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{each} = {json.dumps(value)}" for each, value in table.items())]
    if setting.dkim:
        lines += [
            "[[dkim]]",
            'domain = "dispatch.example.org"',
            'selector = "bench"',
            'key_file = "dkim.pem"',
        ]
    (folder / "newsletter.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _delivery(setting: Setting) -> dict[str, object]:
    table: dict[str, object] = {"transport": "smtp"}
    return table | ({"connections": setting.connections} if setting.connections else {})


def _smtp(folder: Path, setting: Setting) -> dict[str, object]:
    table: dict[str, object] = {"host": "localhost" if setting.tls else "127.0.0.1", "port": setting.port}
    if not setting.tls:
        return table | {"security": "none"}
    shutil.copy(certificate(folder.parent), folder / "server.pem")
    return table | {"security": "starttls", "ca_file": "server.pem"}


@cache
def key() -> rsa.RSAPrivateKey:
    """Return an RSA-2048 key, the same for a whole run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(folder: Path) -> Path:
    """Return a file of a key and its certificate for localhost, made in this folder if it is not there."""
    path = folder / "server.pem"
    if not path.exists():
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key().public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key(), hashes.SHA256())
        )
        path.write_bytes(pem(key()) + made.public_bytes(serialization.Encoding.PEM))
    return path


def pem(private: rsa.RSAPrivateKey) -> bytes:
    """Return a private key in PEM."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def subscribe(publisher: Publisher, count: int) -> None:
    """Put so many subscribers straight into the tables."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"
    address = "'reader' || i || '@d' || (i % 500) || '.example.org'"
    now = bindparam("now", type_=Instant())
    with publisher.store.write() as tx:
        people = f"""INSERT INTO subscribers (address, address_key, name, created)
            {numbers} SELECT {address}, {address}, 'Zoë ' || i, :now FROM n"""
        if tx.dialect.name == "postgresql":
            people = people.replace(":count", "CAST(:count AS integer)")
        tx.execute(text(people).bindparams(now), {"count": count, "now": NOW})
        readers = """INSERT INTO subscriptions (subscriber_id, newsletter, standing, since)
            SELECT id, 'weekly', 'active', :now FROM subscribers"""
        tx.execute(text(readers).bindparams(now), {"now": NOW})


def approve(publisher: Publisher) -> int:
    """Gather, compose and approve the issue that is due; return its id."""
    publisher.gather(now=NOW)
    composition = publisher.compose("weekly", publisher.due_slot("weekly", now=NOW), now=NOW)
    assert composition.issue is not None, composition.note
    publisher.approve(composition.issue.id, now=NOW, force="bench")
    return composition.issue.id
