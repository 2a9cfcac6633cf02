"""Captioned pictures read from any of the formats in which people have them; the content tells which it is."""

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
    """Where captioned pictures are, and how often one of them is drawn, relative to those of other sets."""

    data: FilePath
    images: FilePath | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Reading:
    """The pictures of a data set, and what in it could not be used."""

    pictures: list[CaptionedPicture]
    problems: list[Problem]


def read_sets(sets: Sequence[DataSet]) -> Reading:
    """Read several data sets or packs as one, of which each may have a val.

    A picture of val is measured once and never trained on, even where another set has it too.
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

    Entries of the same picture are one picture, in the order in which the pictures are first named. Problems are
    recorded and skipped: a picture that does not exist (once, where it is first named), an empty caption, a caption
    that its picture has already, a line or entry that does not follow its format. Whether pictures can be decoded is
    not checked. Only a folder and a pack yield pictures without captions.

    `data` is a file, UTF-8 with or without a byte order mark, or a folder. The relative paths that a file names start
    at `images`, or else beside it. Raises DatasetError where the data cannot be read or has none of the formats, or
    none of its pictures exists.
    """
    if is_pack(data):
        if pictures := [item for item in read_pack(data) if isinstance(item, CaptionedPicture)]:
            return Reading(pictures, [])
        raise DatasetError(f"{data} is a pack without captioned pictures", "Provide another --data")
    try:
        if is_folder(path_bytes(data)):
            return Reading(*read_folder(data))
        gathering = Gathering(data, data.parent if images is None else images)
        gather(gathering)
        return Reading(gathering.pictures(), gathering.problems)
    except OSError as error:
        message = f"{data} cannot be read ({error.strerror})"
        raise DatasetError(message, "Name a file or a folder with --data") from error
    except Malformed as error:
        raise DatasetError(
            f"{data} is not in a format that pixsearch can read ({shown(str(error))})",
            "The formats are Karpathy's JSON, COCO captions JSON, Visual Genome's region_descriptions.json, CSV, TSV "
            "or JSONL with a column for the picture (image, file_name, ..) and one for the caption (caption, text, ..),"
            " and a folder with name.txt beside name.jpg",
        ) from error
