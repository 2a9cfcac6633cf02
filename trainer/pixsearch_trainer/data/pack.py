"""Read and write packs: ZIP archives with a training set (`items.json`) and pictures small enough to decode quickly."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard
from zipfile import BadZipFile, ZipFile

from PIL import Image

from pixsearch.decoding import FOR_OBJECTS, TaskFailure, decoding_pool
from pixsearch.durable import named_in_errors, new_file
from pixsearch.errors import DatasetError, PictureError
from pixsearch.picture_files import FILE_LIMIT_BYTES, read_picture_file
from pixsearch.pictures import open_header, open_picture, upright_rgb
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.regular_files import DATA_LIMIT_BYTES, open_regular, path_of, read_member
from pixsearch.storage import FilePath
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.vqa import Question

Item = CaptionedPicture | Question | Statement

_ITEMS = "items.json"
_KINDS: dict[str, type[Item]] = {kind.__name__: kind for kind in (CaptionedPicture, Question, Statement)}
_PICTURE_FIELDS = {CaptionedPicture: ("file",), Question: ("picture",), Statement: ("left", "right")}
_KEPT_FORMATS = {"JPEG": "jpg", "AVIF": "avif", "WEBP": "webp"}
_DAMAGE = (BadZipFile, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, struct.error)
"""The errors raised for an archive that is damaged or not a pack."""


def write_pack(items: Sequence[Item], file: Path, edge: int, on_progress: ProgressCallback) -> list[Problem]:
    """Write a pack with each picture once. Return a problem for each picture that cannot be decoded.

    Items with such pictures are skipped. A JPEG, AVIF or WebP whose shorter edge is at most 1.25 x `edge` is stored
    unchanged. Any other picture becomes an upright JPEG with a shorter edge of `edge`, but is never enlarged.

    The file gets its name only when it is complete and on disk. Raises OSError if the file cannot be written, or
    PixsearchError if worker processes cannot be started.
    """
    pictures = list(dict.fromkeys(picture for item in items for picture in _pictures(item).values()))
    each_core = 1 if all(isinstance(picture, Path) for picture in pictures) else FOR_OBJECTS
    members: dict[FilePath, str] = {}
    problems: list[Problem] = []
    with named_in_errors(file), new_file(file) as output, ZipFile(output, "w") as archive:
        with decoding_pool(each_core=each_core, preload=[__name__]) as pool:
            packed = pool.map_ahead(_packed, ((picture, edge) for picture in pictures))
            for picture, result in zip(pictures, packed, strict=True):
                if isinstance(result, tuple):
                    members[picture] = f"{len(members):06}.{result[0]}"
                    archive.writestr(members[picture], result[1])
                else:
                    what = result.reason if isinstance(result, TaskFailure) else result
                    problems.append(Problem(picture, None, what))
                on_progress(Progress("packing pictures", len(members) + len(problems), len(pictures)))
        whole = [item for item in items if members.keys() >= set(_pictures(item).values())]
        archive.writestr(_ITEMS, json.dumps([_record(item, members) for item in whole]))
    return problems


def read_pack(file: Path) -> list[Item]:
    """Return the items of a pack. Their pictures are paths below the file, for `open_packed`.

    Raises DatasetError if the file is damaged, not a pack, or cannot be read.
    """
    with _damage_raised(str(file)):
        members = {name: file / name for name in _archive(file).namelist()}
        return [_item(record, members) for record in json.loads(read_member(_archive(file), _ITEMS, DATA_LIMIT_BYTES))]


def is_pack(file: FilePath) -> TypeGuard[Path]:
    """Return whether a file is a pack on this machine. Never raises."""
    try:
        return isinstance(file, Path) and file.is_file() and _ITEMS in _archive(file).NameToInfo
    except _DAMAGE:
        return False


def open_packed(picture: FilePath, min_edge: int | None = None) -> Image.Image:
    """Open a picture in a pack like `open_picture`. Can be called from several threads and processes.

    Raises DatasetError if the picture or the pack is damaged.
    """
    with _damage_raised(f"{picture.name} in the pack {picture.parent}"):
        return open_picture(_member(picture), min_edge)


@contextmanager
def _damage_raised(what: str) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, PictureError) as error:
        raise DatasetError(f"{what} cannot be read: {_reason(error)}", "Copy the pack again, or recreate it") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(map(str, error.args)).strip(" .") or type(error).__name__


def _member(picture: FilePath) -> bytes:
    """Return the bytes of a picture in a pack."""
    assert isinstance(picture, Path)
    return read_member(_archive(picture.parent), picture.name, FILE_LIMIT_BYTES)


def _archive(file: Path) -> ZipFile:
    """Return the opened archive. It is opened again only if the file has changed."""
    found = file.stat()
    return _open_archive(file, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _open_archive(file: Path, *_identity: int) -> ZipFile:
    with open_regular(file) as opened:
        return ZipFile(path_of(opened))


def _pictures(item: Item) -> dict[str, FilePath]:
    return {name: getattr(item, name) for name in _PICTURE_FIELDS[type(item)]}


def _record(item: Item, members: dict[FilePath, str]) -> dict[str, object]:
    pictures = {name: members[picture] for name, picture in _pictures(item).items()}
    return {"kind": type(item).__name__, **vars(item), **pictures}


def _item(record: dict[str, Any], members: dict[str, Path]) -> Item:
    kind = _KINDS[record["kind"]]
    values: dict[str, Any] = {name: members[record[name]] for name in _PICTURE_FIELDS[kind]}
    for name in record.keys() - values.keys() - {"kind"}:
        values[name] = tuple(record[name]) if isinstance(record[name], list) else record[name]
    return kind(**values)


def _packed(picture: FilePath, edge: int) -> tuple[str, bytes] | str:
    """Return the suffix and bytes to store for a picture, or the reason why it cannot be packed."""
    try:
        data = _member(picture) if is_pack(picture.parent) else read_picture_file(picture)
        header = open_header(data)
        suffix, small = _KEPT_FORMATS.get(header.format or ""), min(header.size) <= 1.25 * edge
        upright = upright_rgb(header, edge)
        if suffix and small:
            return suffix, data
        scale = min(1.0, edge / min(upright.size))
        size = round(upright.width * scale), round(upright.height * scale)
        scaled = upright.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        scaled.info.clear()  # a GIF comment may be too long for a JPEG
        buffer = io.BytesIO()
        scaled.save(buffer, "JPEG", quality=92, subsampling="4:4:4")
        return "jpg", buffer.getvalue()
    except PictureError as error:
        return error.message
    except (BadZipFile, EOFError, OSError) as error:
        return f"cannot be packed: {_reason(error)}"
