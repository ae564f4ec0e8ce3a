"""The wheel, the sdist and the editable install each carry the templates and render from them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

RENDER = """
import sys; sys.path.insert(0, {place!r})
import newsletter, pathlib
from newsletter import templating
assert pathlib.Path(newsletter.__file__).is_relative_to({place!r}), newsletter.__file__
env = templating.environment()
names = [n for n in env.list_templates() if n.endswith(".j2")]
for name in names: env.get_template(name)
assert any(n.startswith("digest/") for n in names) and any(n.startswith("web/") for n in names), names
print(len(names), templating.render(env, "init/intro.md.j2")[:7])
"""


def python(*arguments: str, cwd: Path) -> str:
    """Run this interpreter and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist from the checkout and the wheel from the sdist, offline."""
    out = tmp_path_factory.mktemp("dist")
    python("-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT), cwd=out)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_wheel_renders(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path)
    assert python("-I", "-c", RENDER.format(place=str(tmp_path)), cwd=tmp_path).split()[1] == "Welcome"


def test_the_sdist_renders(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    place = next(tmp_path.iterdir()) / "src"
    assert python("-I", "-c", RENDER.format(place=str(place)), cwd=tmp_path).split()[1] == "Welcome"


def test_the_editable_install_renders() -> None:
    place = str(ROOT / "src")
    assert python("-c", RENDER.format(place=place), cwd=ROOT).split()[1] == "Welcome"


def test_no_foreign_file_is_packed(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
    assert all(n.startswith(("newsletter/", "newsletter-")) for n in names)
    assert "newsletter/py.typed" in names
    assert not [n for n in names if n.endswith((".pyc", ".db"))]


def test_every_locked_requirement_has_its_hash() -> None:
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
        locked = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert len(locked) > 10
        for line in locked:
            assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
