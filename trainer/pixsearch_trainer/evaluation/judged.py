"""Evaluate a model on judged queries: queries with the photos of an album that people judged to be right."""

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
    """A query with the names of all matching photos in the album; `photos` is empty if there are none."""

    text: str
    photos: tuple[str, ...]


def read_judged(file: FilePath) -> list[JudgedQuery]:
    """Read {"queries": [{"query", "photos": [name, ...]}, ...], "absent": [{"query"}, ...]}; other fields are ignored.

    Each query must list all matching photos in the album, because all other photos count as wrong. Raises DatasetError
    if the file cannot be read or is invalid.
    """
    try:
        document = parse_json(read_file(file, TEXT_LIMIT_BYTES))
        present = [
            JudgedQuery(field(entry, "query", str), tuple(map(str, field(entry, "photos", list))))
            for entry in field(document, "queries", list)
        ]
        if nameless := next((query.text for query in present if not query.photos), None):
            raise Malformed(f'lists no photos for {shown(nameless)}; move the query to "absent"')
        absent = [
            JudgedQuery(field(entry, "query", str), ()) for entry in field({"absent": []} | document, "absent", list)
        ]
        if blank := sum(not query.text.strip() for query in [*present, *absent]):
            raise Malformed(f"has {plural(blank, 'empty query', 'empty queries')}")
    except OSError as error:
        raise DatasetError(f"{file} cannot be read ({error.strerror})", "Check --judged") from error
    except Malformed as error:
        raise DatasetError(
            f"{file} is not a valid file of judged queries ({error})",
            'Expected format: {"queries": [{"query": "a cat", "photos": ["0014"]}], "absent": [{"query": "a camel"}]}',
        ) from error
    return [*present, *absent]


def encode_album(runtime: Runtime, folder: FilePath, on_progress: ProgressCallback = silent) -> EncodedPictures:
    """Encode the photos in a folder and its subfolders, without captions. Raises DatasetError if there are none."""
    try:
        pictures, _ = read_folder(folder)
    except Malformed as error:
        raise DatasetError(f"{folder}: {error}", "Check --images") from error
    return encode(runtime, [CaptionedPicture(picture.file, ()) for picture in pictures], on_progress)


def right_photos(queries: Iterable[JudgedQuery], album: EncodedPictures) -> Bools:
    """Return an array [queries, photos], True where the photo matches the query.

    A query names a photo by its file name, with or without the extension, or by the part of the stem after the last
    "_": "0014" is photo_0014.jpg. Raises DatasetError if a name matches no photo, or several.
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
                    f"the name {shown(name)} in the query {shown(query.text)} matches {what} in the album",
                    "Use the full file names of photos",
                )
            row[list(found)] = True
        rows.append(row)
    return np.array(rows).reshape(-1, len(album.pictures))


@dataclass(frozen=True)
class JudgedSearch:
    """A model's results for judged queries in both stages, and the right photos."""

    similarity: Floats  # [queries, photos]
    right: Bools  # [queries, photos]
    nearest: Indices  # [queries, candidates], the most similar first
    late: Floats  # [queries, candidates], late scores of the nearest
    logits: Floats  # [queries, candidates], NaN where the joint stream did not read the photo

    @property
    def labels(self) -> Bools:
        """An array [queries, candidates], True where the candidate is right."""
        return np.take_along_axis(self.right, self.nearest, 1)

    @property
    def present(self) -> Bools:
        """An array [queries], True for queries with a right photo in the album."""
        found: Bools = np.asarray(self.right.any(1))
        return found

    def order(self, *, reranked: bool) -> Indices:
        """Return the order of the photos for each query, best first [queries, photos].

        Without `reranked`, photos are in order of similarity. Otherwise, photos that the joint stream read come first,
        in order of match, followed by the other candidates in order of late score, and then by all other photos.
        """
        order = np.argsort(-self.similarity, 1, kind="stable")
        if reranked:
            unread = np.isnan(self.logits)
            scores = np.where(unread, self.late.round(5), self.logits.round(4))
            order[:, : self.nearest.shape[1]] = np.take_along_axis(self.nearest, np.lexsort((-scores, unread)), 1)
        return order

    def part(self, here: NDArray[np.integer] | Bools | slice) -> JudgedSearch:
        """Return the results for some of the queries."""
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
    """Search an album for each query as `pixsearch query` does, but without grouping near-duplicates.

    Args:
        ordered: the number of nearest photos that late interaction ranks.
        reads: the number of these photos that the joint stream reads, if the model has one.
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
    """Return the average precision of each query: the mean, over its right photos, of the precision at their ranks.

    Args:
        order: the order of all photos, best first [queries, photos].
        right: True for right photos [queries, photos].
    """
    ranked = np.take_along_axis(right, order, 1)
    precision = ranked.cumsum(1) / np.arange(1, ranked.shape[1] + 1)
    found: NDArray[np.float64] = (precision * ranked).sum(1) / ranked.sum(1)
    return found


def area_under_curve(scores: Floats, positive: Bools) -> float:
    """Return the probability that a random positive scores higher than a random negative. Ties count as half."""
    difference = scores[positive][:, None] - scores[~positive][None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
