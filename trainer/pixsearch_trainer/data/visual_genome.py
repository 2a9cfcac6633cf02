"""Visual Genome's region_descriptions.json: [{"id", "regions": [{"region_id", "image_id", "phrase"}]}]."""

from __future__ import annotations

from pixsearch_trainer.data.gathering import Gathering, Malformed, field_of, list_of

FOLDERS = ("", "VG_100K", "VG_100K_2")
"""Where the pictures are: moved together, or as the set's two archives unpack."""


def gather_regions(where: str, entry: object, into: Gathering) -> None:
    """Take the phrases of an entry; each is a caption of the picture <image_id>.jpg.

    Two regions of a picture often have the same phrase ("a man wearing a hat"), which is no mistake: it is one caption
    and no problem. The set has no splits: all of it is train.
    """
    phrases: dict[int, dict[str, None]] = {}
    try:
        regions = list_of(entry, "regions")
    except Malformed as error:
        into.report(where, str(error))
        return
    for region in regions:
        try:
            image, phrase = field_of(region, "image_id"), field_of(region, "phrase")
            if not isinstance(image, int) or not isinstance(phrase, str):
                raise Malformed('has an "image_id" that is no number or a "phrase" that is no text')
        except Malformed as error:
            into.report(where, f"a region {error}")
            continue
        phrases.setdefault(image, {})[phrase.strip()] = None
    for image, captions in phrases.items():
        into.add(where, f"{image}.jpg", captions, folders=FOLDERS)
