"""`pixsearch forget`: remove a folder from a library."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch.errors import LibraryError, UsageError
from pixsearch.printable import plural
from pixsearch.settings import library_location
from pixsearch.storage import path_bytes, resolved_bytes, to_path
from pixsearch_cli.options import JsonOption, LibraryOption
from pixsearch_cli.output import print_json, show_message


def forget(
    root: Annotated[
        str,
        typer.Argument(metavar="ROOT", help="Indexed folder or text file, as listed by pixsearch status."),
    ],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a folder and all data about its photos from the library. The photos themselves are not touched.

    For example: pixsearch forget /mnt/old-disk
    """
    from pixsearch import Library

    with Library.open(library_location(library), show_message) as opened:
        # Try the path as given first: if the folder has since been replaced by a link, the link's target must stay.
        folder, roots, text_files = to_path(root), opened.roots(), opened.text_files()
        given = path_bytes(folder.absolute())
        path = given if given in roots or given in text_files else resolved_bytes(folder)
        known = [path] if path in roots else []
        files = [path] if path in text_files else []
        if not (known or files):
            raise UsageError(f"{root} is not a folder of this library", "List them with: pixsearch status")
        photos, done = 0, False
        try:
            with opened.writing() as writer:
                photos = sum(writer.forget_root(path) for path in known)
                for path in files:
                    writer.forget_text_file(path)
                done = True
                writer.drop_unused_contents()
        except LibraryError as error:
            if not done:
                raise
            show_message(f"forgotten, but the library could not be compacted: {error}")
    if as_json:
        print_json({"forgotten": photos})
    else:
        print(summary(photos) if known else "texts forgotten")


def summary(photos: int) -> str:
    return f"{plural(photos, 'photo')} forgotten"
