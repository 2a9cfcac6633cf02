"""A vector index in Milvus, for libraries that do not fit into the memory of one machine.

Each vector is stored with fields for filters, so that Milvus can leave out pictures that do not pass them. The caller
must check the filters that Milvus cannot evaluate: folders, names, words, ratings, and the exact circle around a place.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from pixsearch.errors import LibraryError, UsageError
from pixsearch.filters import Filters
from pixsearch.metadata import Metadata
from pixsearch.printable import without_passwords
from pixsearch.unicode_forms import folded
from pixsearch.vectors.vector_index import Ids, Vectors

_PART = 1000
_AMONG_AT_ONCE = 10_000
"""The maximum number of ids in one search request, about 100 kB of text."""
_GRPC = {"grpc.keepalive_time_ms": 300_000, "grpc.keepalive_permit_without_calls": False}
"""The connection settings. By default, pymilvus pings idle servers every ten seconds, and Milvus Lite then closes the
connection."""
_LITE_START_S = 60
"""The timeout for starting the Milvus Lite process. The default of ten seconds is too short on a busy machine."""
_URL = re.compile(r"milvus\+(https?://[^/]+|file:///.+)/([A-Za-z_]\w*)")
_EXAMPLE = "For example: milvus+http://host:19530/photos"
_MOST_KEYWORDS, _LONGEST = 4096, 65_535
_SEVERAL, _NOWHERE = "*", 999.0
"""The time and latitude stored for a picture whose photos differ in these. The caller must then check the photos."""
_DEGREES_PER_KM = 360 / 40_007.863
"""The degrees of latitude per km, computed from the length of the meridian (WGS 84)."""


class MilvusIndex:
    """A `VectorIndex` in a Milvus collection. See the protocol for its methods.

    Every method raises LibraryError if the server fails.
    """

    max_results = 16_384
    """The maximum number of results for one search, which is the server's limit."""

    def __init__(self, url: str, fingerprint: str, size: int) -> None:
        """Connect to the collection for a model, and create it if it does not exist.

        Args:
            url: the URL of the service, such as `milvus+http://host:19530/photos`, or for Milvus Lite,
                `milvus+file:///folder/file.db/photos`.
            fingerprint: the fingerprint of the model.
            size: the number of elements in a vector.
        """
        self.url = url
        address, self._prefix = server_of(url)
        self._name = f"{self._prefix}_{fingerprint[:16]}"
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it also raises every error that it logs
        with _Errors(url), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Milvus Lite warns about its own imports
            self._client = MilvusClient(
                address.removeprefix("file://"),
                token=os.environ.get("PIXSEARCH_MILVUS_TOKEN", ""),
                timeout=_LITE_START_S if address.startswith("file://") else None,
                grpc_options=_GRPC,
            )
            if not self._client.has_collection(self._name):
                self._make(size)
            self._client.load_collection(self._name)

    def close(self) -> None:
        self._client.close()

    def __len__(self) -> int:
        with _Errors(self.url):
            return int(self._client.query(self._name, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def ids(self) -> Ids:
        parts = [np.array([row["id"] for row in rows], dtype=np.int64) for rows in self._rows(["id"])]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        for rows in self._rows(["id", "embedding"]):
            ids = np.array([row["id"] for row in rows], dtype=np.int64)
            yield ids, np.array([row["embedding"] for row in rows], dtype=np.float32)

    def put(self, ids: Sequence[int], vectors: Vectors, metadata: Sequence[Sequence[Metadata]]) -> None:
        """Store the vectors [n, size] and filter fields of pictures, replacing any existing ones.

        Args:
            ids: the ids of the pictures.
            vectors: the vectors of the pictures.
            metadata: the metadata of the photos of each picture, at least one per picture.
        """
        rows = [
            {"id": id_, "embedding": vector, **_fields(facts)}
            for id_, vector, facts in zip(ids, vectors.astype(np.float32), metadata, strict=True)
        ]
        for start in range(0, len(rows), _PART):
            with _Errors(self.url):
                self._client.upsert(self._name, rows[start : start + _PART])

    def remove(self, ids: Ids) -> int:
        with _Errors(self.url):
            removed = 0
            for start in range(0, len(ids), _PART):
                part = [int(id_) for id_ in ids[start : start + _PART]]
                removed += len(self._client.query(self._name, ids=part, output_fields=["id"]))
                self._client.delete(self._name, ids=part)
            return removed

    def search(
        self, queries: Vectors, k: int, among: Ids | None = None, filters: Filters | None = None
    ) -> tuple[Vectors, Ids]:
        """Search like `VectorIndex.search`. With `filters`, leave out the pictures that `expression` excludes."""
        if not np.isfinite(queries).all():
            raise ValueError("all queries must be finite")
        conditions = [] if filters is None else expression(filters)
        if among is None:
            return self._search(queries, k, conditions)
        found = [(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64))]
        for start in range(0, len(among), _AMONG_AT_ONCE):
            named = among[start : start + _AMONG_AT_ONCE].tolist()
            found.append(self._search(queries, k, [*conditions, f"id in {named}"]))
        similarities, ids = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        order = np.argsort(-similarities, axis=1)[:, :k]
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(ids, order, axis=1)

    def _search(self, queries: Vectors, k: int, conditions: list[str]) -> tuple[Vectors, Ids]:
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        with _Errors(self.url):
            found = self._client.search(
                self._name,
                data=[query.tolist() for query in queries.astype(np.float32)],
                limit=min(k, self.max_results),
                filter=" and ".join(conditions),
            )
        width = min((len(hits) for hits in found), default=0)
        similarities = np.array([[hit["distance"] for hit in hits[:width]] for hits in found], dtype=np.float32)
        ids = np.array([[hit["id"] for hit in hits[:width]] for hits in found], dtype=np.int64)
        return similarities.reshape(len(queries), width), ids.reshape(len(queries), width)

    def drop_other_models(self) -> None:
        """Drop the collections of models that the library no longer uses."""
        with _Errors(self.url):
            for name in self._client.list_collections():
                if re.fullmatch(rf"{re.escape(self._prefix)}_[0-9a-f]{{16}}", name) and name != self._name:
                    self._client.drop_collection(name)

    def _make(self, size: int) -> None:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=size)
        for name in ("width", "height", "pixels"):
            schema.add_field(name, DataType.INT64)
        schema.add_field("taken_at", DataType.VARCHAR, max_length=32)
        schema.add_field("camera", DataType.VARCHAR, max_length=_LONGEST)
        schema.add_field("has_place", DataType.BOOL)
        schema.add_field("latitude", DataType.DOUBLE)
        schema.add_field(
            "keywords",
            DataType.ARRAY,
            element_type=DataType.VARCHAR,
            max_capacity=_MOST_KEYWORDS,
            max_length=_LONGEST,
        )
        indexes = self._client.prepare_index_params()
        indexes.add_index("embedding", index_type="AUTOINDEX", metric_type="IP")
        # Strong consistency, so that a search right after an indexing run finds the new photos.
        self._client.create_collection(self._name, schema=schema, index_params=indexes, consistency_level="Strong")

    def _rows(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        with _Errors(self.url):
            iterator = self._client.query_iterator(self._name, batch_size=_PART, output_fields=fields)
        while True:
            with _Errors(self.url):
                if not (rows := iterator.next()):
                    iterator.close()
                    return
            yield rows


class _Server(NamedTuple):
    address: str
    collection: str


def server_of(url: str) -> _Server:
    """Return the server address and the prefix for collection names in a URL. Raises UsageError."""
    if (parts := _URL.fullmatch(url)) is None:
        raise UsageError(f"{without_passwords(url)!r} is not a vector service URL", _EXAMPLE)
    return _Server(parts[1], parts[2])


def expression(filters: Filters) -> list[str]:
    """Return Milvus conditions that are met by every picture that passes the filters.

    A picture that meets the conditions may still not pass the filters.
    """
    conditions = []
    if filters.after is not None:
        conditions.append(f'(taken_at >= "{filters.after.isoformat(timespec="seconds")}" or taken_at == "{_SEVERAL}")')
    if filters.before is not None:
        conditions.append(
            f'taken_at != "" and taken_at < "{filters.before.isoformat(timespec="seconds")}"'
        )  # also true for _SEVERAL
    if filters.orientation is not None:
        sign = {"landscape": ">", "portrait": "<", "square": "=="}[filters.orientation]
        conditions.append(f"width {sign} height")
    if filters.min_megapixels is not None:
        conditions.append(f"pixels >= {math.ceil(filters.min_megapixels * 1e6)}")
    if filters.max_megapixels is not None:
        conditions.append(f"pixels <= {math.floor(filters.max_megapixels * 1e6)}")
    if filters.has_place or filters.near is not None:
        conditions.append("has_place == true")
    if filters.near is not None:
        around = filters.near.radius_km * _DEGREES_PER_KM * 1.01 + 1e-6
        south, north = filters.near.latitude - around, filters.near.latitude + around
        conditions.append(f"((latitude >= {south} and latitude <= {north}) or latitude == {_NOWHERE})")
    return conditions


def _fields(photos: Sequence[Metadata]) -> dict[str, object]:
    """Return the filter fields of a picture. A picture may pass a filter if any of its photos may."""
    one = photos[0]
    times = {"" if photo.taken_at is None else photo.taken_at.isoformat()[:19] for photo in photos}
    latitudes = {photo.latitude for photo in photos if photo.latitude is not None and photo.longitude is not None}
    keywords = dict.fromkeys(folded(keyword) for photo in photos for keyword in photo.keywords)
    cameras = dict.fromkeys(folded(photo.camera or "") for photo in photos)
    return {
        "width": one.width,
        "height": one.height,
        "pixels": one.width * one.height,
        "taken_at": times.pop() if len(times) == 1 else _SEVERAL,
        "camera": "\n".join(cameras),
        "has_place": bool(latitudes),
        "latitude": 0.0 if not latitudes else latitudes.pop() if len(latitudes) == 1 else _NOWHERE,
        "keywords": list(keywords)[:_MOST_KEYWORDS],
    }


class _Errors:
    """A context manager that turns Milvus errors into a LibraryError with a hint."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MilvusException | grpc.RpcError):
            message = " ".join(str(error.details() if isinstance(error, grpc.RpcError) else error.message).split())
            raise LibraryError(
                f"the vectors at {without_passwords(self._url)} cannot be reached: {message}",
                "Try again when no other process is using them; stored data is not lost"
                if self._url.startswith("milvus+file:")
                else "Check the server, then try again; stored data is not lost",
            ) from error
