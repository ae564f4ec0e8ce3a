"""`docs/security.md`: every threat has a defence, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_row_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [re.split(r"(?<!\\\\) \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 40
    for row in rows[1:]:
        assert len(row) == 3, row
        threat, defence, shown = row
        files = re.findall(r"`(tests/[a-z_/]+\.py)`", shown)
        assert threat.strip()
        assert defence.strip()
        assert files, threat
        assert ", ".join(f"`{one}`" for one in files) == shown.strip(), threat
        assert len(set(files)) == len(files), threat
        for one in files:
            tree = ast.parse((ROOT / one).read_text(encoding="utf-8"))
            names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            assert any(name.startswith("test_") for name in names), one
