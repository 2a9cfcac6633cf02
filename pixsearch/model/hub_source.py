"""The origin of a model from the Hub, and the folder that holds it until its download is complete."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pixsearch.durable import write_durably
from pixsearch.model.checkpoints import hub_folder
from pixsearch.regular_files import read_regular

UNFINISHED = ".unfinished"
SOURCE_FILE = "hub.json"
_SOURCE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class HubSource:
    """The origin of a model from the Hub, as stored in hub.json."""

    name: str
    revision: str
    """The commit hash."""
    licence: str | None
    languages: tuple[str, ...]
    files: dict[str, str]
    """The SHA-256 of each downloaded file, by name."""

    def save(self, folder: Path) -> None:
        write_durably(folder / SOURCE_FILE, (json.dumps(vars(self), indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> HubSource | None:
        """Read hub.json from a model's folder. Return None if it is missing or not valid."""
        try:
            values = json.loads(read_regular(folder / SOURCE_FILE, _SOURCE_LIMIT_BYTES))
            source = cls(**{**values, "languages": tuple(values["languages"])})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (source.name, source.revision, source.licence or "", *source.languages)
        is_sound = isinstance(source.files, dict) and all(isinstance(text, str) for text in texts)
        return source if is_sound else None


def unfinished_folder(name: str) -> Path:
    """Return the folder that holds a model from the Hub until its download is complete. Raises UsageError."""
    folder = hub_folder(name)
    return folder.parent / UNFINISHED / folder.name
