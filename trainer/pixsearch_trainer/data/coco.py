"""COCO's captions: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}."""

from __future__ import annotations

import re

from pixsearch.storage import FilePath
from pixsearch_trainer.data.gathering import Gathering, Malformed, field_of

_YEAR_FOLDER = re.compile(r"(train|val|test)\d{4}")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:\d{4})?(?![a-z0-9])")


def gather_coco(
    images: list[object], annotations: list[object], data: FilePath, folder: FilePath, into: Gathering
) -> None:
    """Take the captions of a COCO captions file.

    The format has no splits; a picture's is told, in this order, from its own name (COCO_val2014_000000000042.jpg), the
    name of the file (captions_val2017.json), the name of the pictures' folder (val2017); else it is train. A picture
    lies in the folder itself or in its sub-folder of that name, as COCO's archives unpack.

    Args:
        data: the file that is read.
        folder: where the pictures are.
    """
    of_file = _SPLIT_WORD.search(data.name) or _SPLIT_WORD.fullmatch(folder.name)
    names: dict[object, tuple[str, re.Match[str] | None]] = {}
    for number, entry in enumerate(images, 1):
        try:
            place, name = _identity(entry, "id"), field_of(entry, "file_name")
            if not isinstance(name, str):
                raise Malformed('has a "file_name" that is no text')
            if place in names:
                raise Malformed(f"has the id {place}, which another has before")
            names[place] = name, _YEAR_FOLDER.search(name) or of_file
        except Malformed as error:
            into.report(f"images, entry {number}", str(error))
    for number, entry in enumerate(annotations, 1):
        where = f"annotations, entry {number}"
        try:
            place, caption = _identity(entry, "image_id"), field_of(entry, "caption")
            if place not in names:
                raise Malformed(f"is of the image {place}, which is not among the images")
        except Malformed as error:
            into.report(where, str(error))
            continue
        name, split = names[place]
        if split is None:
            into.add(where, name, [caption])
        else:
            into.add(where, name, [caption], split[1], folders=("", split[0]))


def _identity(entry: object, name: str) -> int | str:
    found = field_of(entry, name)
    if not isinstance(found, int | str):
        raise Malformed(f'has a "{name}" that is no number')
    return found
