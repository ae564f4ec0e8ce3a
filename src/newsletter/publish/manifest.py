"""The record of what was published: each file of ours, what it was made of, and what was learnt on the way.

It is read before anything is decided and saved after everything is written. Before a file is touched its path is
noted beside the record, durably: after a crash those files are ours, and what they hold is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from newsletter.errors import OutsideError
from newsletter.publish.files import replace, sync_folder

UNKNOWN = ""


@dataclass(slots=True)
class Manifest:
    """`made` says of each path of ours by which key it was made and its size in bytes: `KEY SIZE`, or UNKNOWN.

    `notes` are facts about inputs that would cost something to find out again.
    """

    file: Path
    made: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    crashed: bool = False
    _saved: tuple[dict[str, str], dict[str, Any]] = field(default_factory=lambda: ({}, {}))
    _begun: set[str] = field(default_factory=set)

    @property
    def begun(self) -> Path:
        """The file that names what is being written."""
        return self.file.with_suffix(".begun")

    def open(self, public: Path) -> None:
        """Read it; a broken one is an error, for nothing would be ours then."""
        try:
            told = json.loads(self.file.read_text(encoding="utf-8"))
            files = told["files"]
            self.made = dict(files) if isinstance(files, dict) else dict.fromkeys(files, UNKNOWN)
            self.notes = dict(told.get("notes", {}))
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as e:
            raise OutsideError(
                "the list of published files is damaged",
                where=str(self.file),
                remedy=f"Delete it and {public}, then publish again",
            ) from e
        self._saved = (dict(self.made), dict(self.notes))
        self._recover()

    def _recover(self) -> None:
        """Take what a crashed run was writing for ours, its content for unknown."""
        try:
            text = self.begun.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        self.crashed = True
        self._begun = set(text.splitlines())
        self.made |= dict.fromkeys(self._begun, UNKNOWN)

    def begin(self, paths: Iterable[str]) -> None:
        """Note durably that these files are ours from now on and may hold anything."""
        paths = set(paths)
        self.made |= dict.fromkeys(paths, UNKNOWN)
        if not paths <= self._begun:
            self._begun |= paths
            self.file.parent.mkdir(parents=True, exist_ok=True)
            replace(self.begun, "".join(f"{path}\n" for path in sorted(self._begun)).encode())
            sync_folder(self.begun.parent)

    def save(self) -> None:
        """Write it down, when it says something new, and forget what was begun."""
        if (self.made, self.notes) != self._saved:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            told = {"files": self.made, "notes": self.notes}
            replace(self.file, json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())
            sync_folder(self.file.parent)
        if self._begun:
            self.begun.unlink(missing_ok=True)
            self._begun = set()
