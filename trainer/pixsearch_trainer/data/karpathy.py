"""Karpathy's JSON: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}."""

from __future__ import annotations

from pixsearch_trainer.data.gathering import Gathering, Malformed, field_of, list_of


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
