"""Read the metadata of a photo from its content, its sidecars and its file name."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import fields, replace

from PIL import Image

from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.pictures import orientation_of
from pixsearch.storage import read_file, to_path
from pixsearch_indexer.metadata.containers import Blocks, blocks_of
from pixsearch_indexer.metadata.dates import read_timestamp
from pixsearch_indexer.metadata.exif import read_exif
from pixsearch_indexer.metadata.exposure import Exposure, exposure_of
from pixsearch_indexer.metadata.file_names import date_in_name
from pixsearch_indexer.metadata.gps import read_gps
from pixsearch_indexer.metadata.iptc import read_iptc
from pixsearch_indexer.metadata.precedence import description_of
from pixsearch_indexer.metadata.sidecars import LARGEST, Sidecar
from pixsearch_indexer.metadata.takeout import Takeout, read_takeout
from pixsearch_indexer.metadata.words import clean_caption, clean_list
from pixsearch_indexer.metadata.xmp import read_xmp

_SIDEWAYS = (5, 6, 7, 8)
_UNREADABLE_XMP = "XMP cannot be read"


def read_metadata(picture: Image.Image, data: bytes | None = None) -> Metadata:
    """Return the metadata of a picture opened by `open_header` but not decoded yet. Damaged parts are left out.

    Args:
        data: the file's bytes, if they are available.
    """
    if data is None:
        data = _bytes_of(picture)
    description = _description(picture, data)
    width, height = picture.size
    if orientation_of(picture) in _SIDEWAYS:
        width, height = height, width
    return Metadata(
        format=picture.format or "",
        width=width,
        height=height,
        **{field.name: getattr(description, field.name) for field in fields(Description)},
    )


def _description(picture: Image.Image, data: bytes) -> Description:
    try:
        facts, note = _facts(blocks_of(picture, data))
        return replace(description_of(facts), note=note)
    except Exception:  # noqa: BLE001 - the photo itself may be intact, whatever is wrong with its metadata
        return Description(note="metadata cannot be read")


def read_exposure(picture: Image.Image, data: bytes) -> Exposure:
    """Return the exposure of a picture opened by `open_header` from these bytes. Damaged parts are left out."""
    try:
        facts, _ = _facts(blocks_of(picture, data))
        return exposure_of(facts)
    except Exception:  # noqa: BLE001 - see `_description`; the library already has a note
        return Exposure()


def read_described(photo: bytes, sidecars: Sequence[Sidecar]) -> dict[Layer, Description]:
    """Return the descriptions from a photo's sidecars and its file name. An unreadable sidecar yields a note."""
    layers: dict[Layer, Description] = {}
    for sidecar in sidecars:
        layer: Layer = "sidecar" if sidecar.path.lower().endswith(b".xmp") else "takeout"
        description = _of_sidecar(sidecar, layer)
        layers[layer] = layers[layer].completed_by(description) if layer in layers else description
    name = os.fsdecode(os.path.basename(photo))  # noqa: PTH119 - bytes
    if (date := date_in_name(name)) is not None:
        layers["name"] = Description(taken_at=date, date_kind="guessed")
    return {layer: description for layer, description in layers.items() if description != Description()}


def _of_sidecar(sidecar: Sidecar, layer: Layer) -> Description:
    name = os.path.basename(sidecar.path).decode(errors="replace")  # noqa: PTH119 - bytes
    if sidecar.stamp.size_bytes > LARGEST:
        return Description(note=f"sidecar {name} is larger than {LARGEST >> 20} MiB")
    try:
        data = read_file(to_path(sidecar.path), LARGEST, sidecar.stamp.size_bytes)
    except OSError as error:
        return Description(note=f"sidecar {name} cannot be read: {error.strerror}")
    try:
        if layer == "takeout":
            takeout = read_takeout(data)
            return Description() if takeout is None else _of_takeout(takeout)
        facts = read_xmp(data)
        return Description(note=f"sidecar {name} cannot be read") if facts is None else description_of(facts)
    except Exception:  # noqa: BLE001 - see `_description`
        return Description(note=f"sidecar {name} cannot be read")


def _of_takeout(takeout: Takeout) -> Description:
    taken_at = None if takeout.taken_s in (0, "0") else read_timestamp(takeout.taken_s)  # 0 means no date
    gps = next(filter(None, (read_gps(north, None, east, None) for north, east in takeout.gps)), None)
    return Description(
        taken_at=taken_at,
        date_kind=None if taken_at is None else "taken",
        latitude=None if gps is None else gps.latitude,
        longitude=None if gps is None else gps.longitude,
        caption=clean_caption(takeout.description),
        people=clean_list(takeout.people),
    )


def _bytes_of(picture: Image.Image) -> bytes:
    file = getattr(picture, "fp", None)
    return file.getvalue() if isinstance(file, io.BytesIO) else b""


def _facts(blocks: Blocks) -> tuple[dict[str, object], str | None]:
    """Return the values in all blocks by source and name, and a note if a block could not be read."""
    facts: dict[str, object] = {}
    note = None
    for exif in blocks.exif:
        for name, value in read_exif(exif).items():
            facts.setdefault(f"EXIF {name}", value)
    for packet in blocks.xmp:
        if (properties := read_xmp(packet)) is None:
            note = _UNREADABLE_XMP
            continue
        for name, texts in properties.items():
            facts.setdefault(name, texts)
    for records in blocks.iptc:
        for name, texts in read_iptc(records).items():
            facts.setdefault(f"IPTC {name}", texts)
    for name, text in blocks.texts.items():
        facts.setdefault(f"PNG {name.lower()}", text)
    return facts, note
