"""Judged queries: queries to an album with the photos that people judged to be right, and a model's results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import DatasetError
from pixsearch.printable import plural
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.regular_files import TEXT_LIMIT_BYTES
from pixsearch.search.cascade import rerank_pictures
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.storage import FilePath, read_file
from pixsearch_trainer.data.folder import read_folder
from pixsearch_trainer.data.formats import field, parse_json
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Malformed, shown
from pixsearch_trainer.evaluation.encoding import EncodedPictures, encode

Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class JudgedQuery:
    """A query, with the names of all photos of the album that show it; none if the album has no such photo."""

    text: str
    photos: tuple[str, ...]


def read_judged(file: FilePath) -> list[JudgedQuery]:
    """Read {"queries": [{"query", "photos": [name, ...]}, ...], "absent": [{"query"}, ...]}; other fields are ignored.

    Every photo that shows what a query asks for must be named: all others of the album count as wrong. Raises
    DatasetError.
    """
    try:
        document = parse_json(read_file(file, TEXT_LIMIT_BYTES))
        present = [
            JudgedQuery(field(entry, "query", str), tuple(map(str, field(entry, "photos", list))))
            for entry in field(document, "queries", list)
        ]
        if nameless := next((query.text for query in present if not query.photos), None):
            raise Malformed(f'names no photo for {shown(nameless)}, which belongs under "absent"')
        absent = [
            JudgedQuery(field(entry, "query", str), ()) for entry in field({"absent": []} | document, "absent", list)
        ]
        if blank := sum(not query.text.strip() for query in [*present, *absent]):
            raise Malformed(f"has {plural(blank, 'empty query', 'empty queries')}")
    except OSError as error:
        raise DatasetError(f"{file} cannot be read ({error.strerror})", "Name a file with --queries") from error
    except Malformed as error:
        raise DatasetError(
            f"{file} is not a file of judged queries ({error})",
            'Its format: {"queries": [{"query": "a cat", "photos": ["0014"]}], "absent": [{"query": "a camel"}]}',
        ) from error
    return [*present, *absent]


def encode_album(runtime: Runtime, folder: FilePath, on_progress: ProgressCallback = silent) -> EncodedPictures:
    """Encode the photos of a folder and its subfolders, without any captions beside them. Raises DatasetError."""
    try:
        pictures, _ = read_folder(folder)
    except Malformed as error:
        raise DatasetError(f"{folder}: {error}", "Name the folder of the photos with --images") from error
    return encode(runtime, [CaptionedPicture(picture.file, ()) for picture in pictures], on_progress)


def right_photos(queries: Iterable[JudgedQuery], album: EncodedPictures) -> Bools:
    """Return [queries, photos], True where the photo shows what is asked.

    A query names a photo by its file's name, with or without the extension, or by what stands behind the last "_" of
    that: "0014" is photo_0014.jpg. Raises DatasetError where a name is that of no photo, or of several.
    """
    indices: dict[str, set[int]] = {}
    for index, picture in enumerate(album.pictures):
        for name in (picture.file.name, picture.file.stem, picture.file.stem.rpartition("_")[2]):
            indices.setdefault(name, set()).add(index)
    rows = []
    for query in queries:
        row = np.zeros(len(album.pictures), bool)
        for name in query.photos:
            found = indices.get(name, set())
            if len(found) != 1:
                what = "no photo" if not found else f"{len(found)} photos"
                raise DatasetError(
                    f"{shown(query.text)} names {shown(name)}, and {what} in the album can be meant",
                    "Name photos by the names of their files",
                )
            row[list(found)] = True
        rows.append(row)
    return np.array(rows).reshape(-1, len(album.pictures))


@dataclass(frozen=True)
class JudgedSearch:
    """A model's results for judged queries in both stages, and the photos that are right."""

    similarity: Floats  # [queries, photos]
    right: Bools  # [queries, photos]
    nearest: Indices  # [queries, candidates], the most similar first
    late: Floats  # [queries, candidates], late scores of the nearest
    logits: Floats  # [queries, candidates], NaN where the joint stream did not read the photo

    @property
    def labels(self) -> Bools:
        """The candidates that are right [queries, candidates]."""
        return np.take_along_axis(self.right, self.nearest, 1)

    @property
    def present(self) -> Bools:
        """The queries with a right photo in the album [queries]."""
        found: Bools = np.asarray(self.right.any(1))
        return found

    def order(self, *, reranked: bool) -> Indices:
        """Return the photos of each query, the best first [queries, photos]: by similarity, or those that the joint
        stream read by match, then the other candidates by late score, then the rest."""
        order = np.argsort(-self.similarity, 1, kind="stable")
        if reranked:
            unread = np.isnan(self.logits)
            scores = np.where(unread, self.late.round(5), self.logits.round(4))
            order[:, : self.nearest.shape[1]] = np.take_along_axis(self.nearest, np.lexsort((-scores, unread)), 1)
        return order

    def part(self, here: NDArray[np.integer] | Bools | slice) -> JudgedSearch:
        """Return some of the queries."""
        return JudgedSearch(
            self.similarity[here], self.right[here], self.nearest[here], self.late[here], self.logits[here]
        )


def search_album(
    runtime: Runtime,
    album: EncodedPictures,
    queries: Sequence[str],
    right: Bools,
    ordered: int,
    reads: int,
    on_progress: ProgressCallback = silent,
) -> JudgedSearch:
    """Search an album for each query, as `pixsearch query` does, except that near-duplicates are not folded.

    Late interaction orders so many of the nearest, and the joint stream reads so many of these, if the model has one.
    """
    reads = reads if runtime.reads_pairs else 0
    texts = runtime.read_texts(queries)
    similarity: Floats = np.stack([text.embedding for text in texts]) @ album.embeddings.T
    nearest = np.argsort(-similarity, 1, kind="stable")[:, :ordered]
    late, logits = np.empty((2, *nearest.shape), np.float32)
    for row, (text, photos) in enumerate(zip(texts, nearest, strict=True)):
        grids = [album.grids[photo] for photo in photos]
        scores = rerank_pictures(runtime, [text], [1.0], grids, album.embeddings[photos], reads)
        late[row], logits[row] = scores.late[0], scores.logits[0]
        on_progress(Progress("matching queries", row + 1, len(queries)))
    return JudgedSearch(similarity, right, nearest, late, logits)


def average_precision(order: Indices, right: Bools) -> NDArray[np.float64]:
    """Return the average precision of each query: the mean, over its right photos, of the share that is right up to
    each; from the order of all photos and which are right, both [queries, photos]."""
    ranked = np.take_along_axis(right, order, 1)
    precision = ranked.cumsum(1) / np.arange(1, ranked.shape[1] + 1)
    found: NDArray[np.float64] = (precision * ranked).sum(1) / ranked.sum(1)
    return found


def area_under_curve(scores: Floats, positive: Bools) -> float:
    """Return the chance that a positive has the higher score than a negative; equal scores count by half."""
    difference = scores[positive][:, None] - scores[~positive][None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
