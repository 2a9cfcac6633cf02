"""A checkpoint's model, as the indexer uses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import WEIGHTS_FILE
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.pictures import open_picture
from pixsearch.storage import stamp_of
from pixsearch_indexer.encoder import CheckpointEncoder
from pixsearch_indexer.load import LoadedFile, load_file
from tests.photos import noise_bytes
from tests.tiny_checkpoint import make_checkpoint_without_graphs, make_tiny_checkpoint


def test_an_indexed_photo_has_the_features_of_a_query_by_the_same_photo(tmp_path: Path) -> None:
    checkpoint = make_tiny_checkpoint(tmp_path / "checkpoint")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(noise_bytes("JPEG", (640, 480)))
    runtime, encoder = PixelBertRuntime(checkpoint), CheckpointEncoder(checkpoint)
    expected, expected_grids = runtime.encode_pictures([open_picture(photo, min_edge=runtime.input_shape.input_size)])

    encoder.prepare_for_pictures()
    loaded = load_file(os.fsencode(photo), stamp_of(photo), True, encoder.input_shape, 300)
    assert isinstance(loaded, LoadedFile)
    assert loaded.decoded is not None
    embeddings, grids = encoder.encode_pixels([loaded.decoded.pixels])

    assert embeddings.tobytes() == expected.tobytes()
    assert grids == expected_grids


def test_a_model_that_cannot_be_loaded_is_an_error_once_it_is_needed(tmp_path: Path) -> None:
    encoder = CheckpointEncoder(make_tiny_checkpoint(tmp_path))
    (tmp_path / WEIGHTS_FILE).unlink()

    encoder.prepare_for_pictures()

    with pytest.raises(CheckpointInvalid):
        encoder.encode_pixels([])


def test_a_checkpoint_without_graphs_is_refused_before_a_library_is_bound_to_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="pixsearch add-graphs"):
        CheckpointEncoder(make_checkpoint_without_graphs(tmp_path))
