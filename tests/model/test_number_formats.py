"""A CPU's number formats, on which neither hits nor stored features may depend."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from examples.demo import copy_sample_photos
from pixsearch.model.checkpoints import SHIPPED, fingerprint
from pixsearch.model.compiled_forwards import CompiledForwards
from pixsearch.model.number_formats import NumberFormats, formats_of
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.search.runtime import Floats

Picture = NDArray[np.uint8]

FORMATS = [NumberFormats(), NumberFormats(bf16=True), NumberFormats(int8=True), NumberFormats(bf16=True, int8=True)]
"""All formats. Any CPU can run them: without native bf16, it computes in fp32; without int8, it emulates int8."""


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ([], ["sse2", "avx2"], NumberFormats()),
        (["INT8"], ["avx2", "avx512f"], NumberFormats()),  # OpenVINO lists INT8 even where it is not fast
        ([], ["avx2", "avx_vnni"], NumberFormats(int8=True)),
        ([], ["avx512f", "avx512_vnni"], NumberFormats(int8=True)),
        (["BF16"], ["avx512_vnni", "avx512_bf16"], NumberFormats(bf16=True, int8=True)),
        (["BF16"], ["avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile", "amx_int8"], NumberFormats(bf16=True)),
        (["BF16"], [], NumberFormats(bf16=True)),
        (["FP16"], [], NumberFormats()),
    ],
)
def test_a_cpu_gets_the_fastest_formats_that_it_multiplies_natively(
    capabilities: list[str], flags: list[str], expected: NumberFormats
) -> None:
    assert formats_of(capabilities, flags) == expected


@cache
def forwards(formats: NumberFormats) -> CompiledForwards:
    return CompiledForwards(SHIPPED, fingerprint(SHIPPED), formats)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Real photos, scaled to the CNN's input size."""
    folder, processor = tmp_path_factory.mktemp("photos"), PixelBertProcessor.from_pretrained(SHIPPED)
    copy_sample_photos(folder)
    return [np.asarray(processor.resize(Image.open(file).convert("RGB"))) for file in sorted(folder.rglob("*.*"))]


def features(formats: NumberFormats, shown: list[Picture]) -> Floats:
    grids = [forwards(formats).run("encode_pictures", picture[None]) for picture in shown]
    embeddings: Floats = np.concatenate([forwards(formats).run("embed_pictures", grid) for grid in grids])
    return embeddings


@pytest.mark.slow
@pytest.mark.parametrize("formats", FORMATS[1:], ids=repr)
def test_stored_features_find_themselves_and_keep_their_likeness_in_every_format(
    formats: NumberFormats, shown: list[Picture]
) -> None:
    exact, other = features(NumberFormats(), shown), features(formats, shown)

    alike, across = exact @ exact.T, exact @ other.T  # photos in one library, encoded on one machine and on two
    assert across.diagonal() == pytest.approx(1, abs=0.01)
    assert across == pytest.approx(alike, abs=0.06)
    assert (across.argmax(1) == np.arange(len(shown))).all()


@pytest.mark.slow
@pytest.mark.parametrize("formats", FORMATS[1:], ids=repr)
def test_matches_and_late_scores_are_nearly_the_same_in_every_format(
    formats: NumberFormats, shown: list[Picture]
) -> None:
    grids = np.concatenate([forwards(NumberFormats()).run("encode_pictures", one[None]) for one in shown])
    ids = np.array([[101, 1037, 4937, 102]])  # a cat
    inputs = ids, ids != 0, grids, np.ones(grids.shape[:2], np.bool_), np.linspace(0, 0.3, len(grids), dtype=np.float32)

    words = forwards(NumberFormats()).run("read_texts", *inputs[:2])[0, 1:, :-1]
    seen = grids, inputs[3], words
    exact, other = (forwards(one).run("find_words", *seen) for one in (NumberFormats(), formats))
    assert other == pytest.approx(exact, abs=0.01)
    # The logits of one sentence with many pictures have a standard deviation of about 10 (docs/performance.md).
    exact, other = (forwards(one).run("match", *inputs) for one in (NumberFormats(), formats))
    assert other == pytest.approx(exact, abs=0.5)
