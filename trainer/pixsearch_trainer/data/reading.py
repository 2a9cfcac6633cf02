"""Read captioned pictures in any supported format. Formats are detected by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixsearch.errors import DatasetError
from pixsearch.storage import FilePath, is_folder, path_bytes
from pixsearch_trainer.data.folder import read_folder
from pixsearch_trainer.data.formats import gather
from pixsearch_trainer.data.gathering import Gathering
from pixsearch_trainer.data.pack import is_pack, read_pack
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.problems import Malformed, Problem, shown


@dataclass(frozen=True)
class DataSet:
    """The location of captioned pictures, and how often they are drawn relative to other data sets."""

    data: FilePath
    images: FilePath | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Reading:
    """The pictures in a data set, and the problems found."""

    pictures: list[CaptionedPicture]
    problems: list[Problem]


def read_sets(sets: Sequence[DataSet]) -> Reading:
    """Read several data sets or packs as one. Each of them may have a val split.

    A picture in val is measured once and never trained on, even if it is also in other data sets.
    """
    training: list[CaptionedPicture] = []
    val: list[CaptionedPicture] = []
    problems: list[Problem] = []
    for one in sets:
        reading = read_captioned(one.data, one.images)
        problems += reading.problems
        pictures = [replace(picture, weight=picture.weight * one.weight) for picture in reading.pictures]
        training += of_split(pictures, "train")
        known = {picture.file for picture in val}
        val += (picture for picture in of_split(pictures, "val") if picture.file not in known)
    measured = {picture.file for picture in val}
    return Reading([*(picture for picture in training if picture.file not in measured), *val], problems)


def read_captioned(data: FilePath, images: FilePath | None = None) -> Reading:
    """Read a pack, Karpathy's or COCO's JSON, Visual Genome's regions, CSV, TSV, JSONL, or a folder with name.txt.

    Entries for the same picture are merged, in order of first occurrence. These problems are recorded and skipped: a
    missing picture (only at its first occurrence), an empty or duplicate caption of a picture, and a malformed line or
    entry. Pictures are not decoded. Only folders and packs may contain pictures without captions.

    `data` is a folder, or a file in UTF-8 with or without a byte order mark. Relative paths in a file are
    resolved against `images`, which defaults to the folder of the file. Raises DatasetError if the data cannot be read
    or has an unsupported format, or if none of the pictures exist.
    """
    if is_pack(data):
        if pictures := [item for item in read_pack(data) if isinstance(item, CaptionedPicture)]:
            return Reading(pictures, [])
        raise DatasetError(f"{data} is a pack without captioned pictures", "Use a different --data")
    try:
        if is_folder(path_bytes(data)):
            return Reading(*read_folder(data))
        gathering = Gathering(data, data.parent if images is None else images)
        gather(gathering)
        return Reading(gathering.pictures(), gathering.problems)
    except OSError as error:
        message = f"{data} cannot be read ({error.strerror})"
        raise DatasetError(message, "Use --data with a file or folder") from error
    except Malformed as error:
        raise DatasetError(
            f"{data} is not in a format that pixsearch can read ({shown(str(error))})",
            "Supported formats: Karpathy's JSON, COCO captions JSON, Visual Genome's region_descriptions.json, CSV, "
            "TSV or JSONL with columns for the picture (image, file_name, ..) and the caption (caption, text, ..), "
            "and a folder with name.txt next to name.jpg",
        ) from error
