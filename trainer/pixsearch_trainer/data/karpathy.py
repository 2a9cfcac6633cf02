"""Karpathy's JSON: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}."""

from __future__ import annotations

import json
from pathlib import Path

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.gathering import Gathering, Malformed, field_of, list_of
from pixsearch_trainer.data.pairs import CaptionedPicture


def gather_karpathy(images: list[object], into: Gathering) -> None:
    """Take a Karpathy file's pictures: restval counts as train, and COCO's "filepath" is a folder below the pictures'.

    "label": true is ours: the captions were made from a class label. A picture with no sentences is passed over.
    """
    for number, entry in enumerate(images, 1):
        where = f"entry {number}"
        try:
            captions = [field_of(sentence, "raw") for sentence in list_of(entry, "sentences")]
            assert isinstance(entry, dict)
            name = field_of(entry, "filename")
        except Malformed as error:
            into.report(where, str(error))
            continue
        if folder := entry.get("filepath"):
            name = f"{folder}/{name}"
        if captions:
            into.add(where, name, captions, entry.get("split"), bool(entry.get("label")))


def read_karpathy(dataset: Path, images: Path) -> list[CaptionedPicture]:
    """Read Karpathy's format: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}; restval counts as train.

    Args:
        dataset: the JSON file.
        images: the folder of the pictures; COCO's "filepath" is a folder below it.

    Raises:
        DatasetError: the file is not of that format, or a picture that it names is not in the folder.
    """
    try:
        entries = json.loads(dataset.read_text(encoding="utf-8"))["images"]
        pictures = [
            CaptionedPicture(
                file=images / entry.get("filepath", "") / entry["filename"],
                captions=tuple(text for sentence in entry["sentences"] if (text := sentence["raw"].strip())),
                split="train" if entry["split"] == "restval" else entry["split"],
                from_label=bool(entry.get("label")),
            )
            for entry in entries
        ]
    except OSError as error:
        raise DatasetError(f"{dataset} cannot be read ({error.strerror})", "Name a JSON file with --data") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{dataset} is not in Karpathy's format ({type(error).__name__}: {error})",
            'It looks like {"images": [{"filename": .., "split": "train", "sentences": [{"raw": ..}]}]}',
        ) from error
    for picture in pictures:
        if not picture.file.is_file():
            raise DatasetError(f"{dataset} names {picture.file}, which is not there", "Name its folder with --images")
    return [picture for picture in pictures if picture.captions]
