"""The words that people put beside their photos."""

from __future__ import annotations

from pixsearch.storage import FilePath, Listings, open_file

_LIMIT_BYTES = 1 << 16


def captions_beside(photo: FilePath, there: Listings) -> list[str]:
    """The lines of `photo.txt` and of `photo.jpg.txt`, one caption a line; none where there is no such file."""
    captions: list[str] = []
    for path in (photo.with_suffix(".txt"), photo.with_name(f"{photo.name}.txt")):
        try:
            if there.stamp(path) is None:
                continue
            with open_file(path) as file:
                text = file.read(_LIMIT_BYTES).decode("utf-8-sig", errors="replace")
        except OSError:
            continue
        captions += [line.strip() for line in text.splitlines() if line.strip()]
    return captions
