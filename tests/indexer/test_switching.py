"""Test that searches find as many photos as possible while a library is switched to a different model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pixsearch import Library, SearchEngine
from pixsearch.database.state import LibraryModel
from pixsearch.errors import Interrupted, ModelMismatch, ModelNotFound
from pixsearch.library.records import Switch
from pixsearch.progress import Progress
from pixsearch_indexer import IndexOptions, IndexReport, index_folders
from pixsearch_indexer.verify import verify
from tests.colour_runtime import ColourRuntime
from tests.conftest import COLOURS
from tests.database import sql
from tests.loading import load_in_this_process
from tests.photos import make_photo

NEW = LibraryModel("dd" * 32, "new colours", 3)


@pytest.fixture
def new() -> ColourRuntime:
    """Return a different model with the same embeddings."""
    runtime = ColourRuntime(fingerprint=NEW.fingerprint)
    runtime.name = NEW.name
    return runtime


@pytest.fixture
def old_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch_indexer.pipeline.is_at_hand", lambda model: True)


def switch(library: Library, runtime: ColourRuntime, *folders: Path) -> IndexReport:
    return index_folders(
        library, runtime, folders, options=IndexOptions(switch_model=True), load_files=load_in_this_process
    )


def index(library: Library, runtime: ColourRuntime) -> IndexReport:
    return index_folders(library, runtime, [], load_files=load_in_this_process)


def names(library: Library, runtime: ColourRuntime) -> list[str]:
    return sorted(hit.path.stem for hit in SearchEngine(library, runtime).search("red", k=100))


def stop_at_once(library: Library, runtime: ColourRuntime, monkeypatch: pytest.MonkeyPatch) -> int:
    """Start to switch, and stop after the first commit, which has one photo. Return the number of remaining photos."""
    reported: list[Progress] = []
    monkeypatch.setattr("pixsearch_indexer.pipeline.ENCODE_AT_ONCE", 1)

    def stop(progress: Progress) -> None:
        if progress.task == "indexing" and progress.done and not reported:
            reported.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        index_folders(
            library, runtime, [], stop, options=IndexOptions(switch_model=True), load_files=load_in_this_process
        )
    monkeypatch.undo()
    left = library.switch()
    assert left is not None
    return left.to_encode


def test_without_a_folder_all_folders_are_switched_and_nothing_old_is_left(
    indexed: Library, new: ColourRuntime, tmp_path: Path
) -> None:
    make_photo(tmp_path / "more" / "white.png", "white")
    index_folders(indexed, ColourRuntime(), [tmp_path / "more"], load_files=load_in_this_process)

    report = switch(indexed, new)

    assert report == IndexReport(found=6, encoded=6)
    assert names(indexed, new) == sorted([*COLOURS, "white"])
    assert (indexed.model(), indexed.switch()) == (NEW, None)
    assert [sql(indexed, f"SELECT count(*) FROM {table}") for table in ("models", "features", "grids")] == [
        [(1,)],
        [(6,)],
        [(6,)],
    ]


def test_where_the_old_model_is_gone_the_new_one_is_searched_from_the_first_photo(
    indexed: Library, new: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = stop_at_once(indexed, new, monkeypatch)

    assert 0 < left < 5
    assert len(names(indexed, new)) == 5 - left
    assert (
        len(sql(indexed, "SELECT DISTINCT content_id FROM features")) == 5
    )  # no features are deleted before they are replaced
    assert verify(indexed).problems == []

    assert index(indexed, new) == IndexReport(found=5, unchanged=5 - left, encoded=left)
    assert names(indexed, new) == sorted(COLOURS)
    assert verify(indexed).problems == []


@pytest.mark.usefixtures("old_is_at_hand")
def test_where_the_old_model_is_at_hand_it_is_searched_until_the_new_one_has_read_everything(
    indexed: Library, runtime: ColourRuntime, new: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pixsearch_indexer.pipeline.is_at_hand", lambda model: True)
        left = stop_at_once(indexed, new, patch)

    assert 0 < left < 5
    assert names(indexed, runtime) == sorted(COLOURS)
    assert verify(indexed).problems == []
    with pytest.raises(ModelMismatch, match=r"is being switched .*Search with colours for now, or finish .*index"):
        names(indexed, new)
    with pytest.raises(ModelMismatch, match=r"is being switched .*or go back with: .*index .*--model colours"):
        index(indexed, runtime)

    assert index(indexed, new) == IndexReport(found=5, unchanged=5 - left, encoded=left)
    assert names(indexed, new) == sorted(COLOURS)
    assert sql(indexed, "SELECT count(*) FROM models") == [(1,)]


@pytest.mark.usefixtures("old_is_at_hand")
def test_a_photo_that_comes_during_a_switch_is_encoded_once(
    indexed: Library, runtime: ColourRuntime, new: ColourRuntime, photos: Path
) -> None:
    with indexed.writing() as writer:
        writer.use_model(NEW, switch=True, keep_old=True)
    make_photo(photos / "white.png", "white")

    assert index(indexed, new).encoded == 6
    assert new.pictures_encoded == 6
    assert names(indexed, new) == sorted([*COLOURS, "white"])


@pytest.mark.usefixtures("old_is_at_hand")
def test_to_go_back_encodes_nothing_again(
    indexed: Library, runtime: ColourRuntime, new: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed.writing() as writer:
        writer.use_model(NEW, switch=True, keep_old=True)

    assert switch(indexed, runtime) == IndexReport(found=5, unchanged=5)
    assert names(indexed, runtime) == sorted(COLOURS)
    assert indexed.switch() is None


@pytest.mark.usefixtures("old_is_at_hand")
def test_a_switch_of_one_folder_waits_for_the_others(
    indexed: Library, runtime: ColourRuntime, new: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "more" / "white.png", "white")
    index_folders(indexed, runtime, [tmp_path / "more"], load_files=load_in_this_process)

    report = switch(indexed, new, tmp_path / "more")

    assert report.switch is not None
    assert (report.encoded, report.switch.to_encode, report.switch.searched) == (1, 5, False)
    assert names(indexed, runtime) == sorted([*COLOURS, "white"])
    assert index(indexed, new).encoded == 5
    assert names(indexed, new) == sorted([*COLOURS, "white"])


@pytest.mark.parametrize("at_hand", [False, True])
def test_photos_of_a_folder_that_is_offline_are_told_and_encoded_when_it_is_back(
    indexed: Library,
    runtime: ColourRuntime,
    new: ColourRuntime,
    tmp_path: Path,
    at_hand: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pixsearch_indexer.pipeline.is_at_hand", lambda model: at_hand)
    make_photo(tmp_path / "drive" / "white.png", "white")
    index_folders(indexed, runtime, [tmp_path / "drive"], load_files=load_in_this_process)
    (tmp_path / "drive").rename(tmp_path / "unplugged")

    report = switch(indexed, new)

    assert report == IndexReport(found=5, encoded=5, kept=1, offline=(tmp_path / "drive",), switch=indexed.switch())
    assert indexed.switch() == Switch(NEW, to_encode=1, offline=1, seconds=1 / 30, searched=True)
    assert names(indexed, new) == sorted(COLOURS)
    assert len(sql(indexed, "SELECT DISTINCT content_id FROM features")) == 6
    assert verify(indexed).problems == []

    (tmp_path / "unplugged").rename(tmp_path / "drive")
    assert index(indexed, new) == IndexReport(found=6, unchanged=5, encoded=1)
    assert names(indexed, new) == sorted([*COLOURS, "white"])
    assert sql(indexed, "SELECT count(*) FROM models") == [(1,)]


def test_a_photo_that_the_old_model_could_not_read_is_tried_again(
    library: Library, runtime: ColourRuntime, new: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "red.png", "red")
    index_folders(library, runtime, [photos], load_files=load_in_this_process)
    make_photo(photos / "black.png", "black")  # its embedding is 0 / 0 in the test runtime
    (photos / "bad.jpg").touch()
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert index(library, runtime).failed == 2

    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert switch(library, new).failed == 2
    assert new.pictures_encoded == 2


def test_a_third_model_may_follow_before_the_second_is_done(
    indexed: Library, new: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_once(indexed, new, monkeypatch)
    third = ColourRuntime(fingerprint="ee" * 32)

    assert switch(indexed, third) == IndexReport(found=5, encoded=5)
    assert names(indexed, third) == sorted(COLOURS)
    assert sql(indexed, "SELECT count(*) FROM models") == [(1,)]


def test_a_library_whose_own_model_is_gone_says_what_to_run_and_what_it_costs(indexed: Library) -> None:
    with pytest.raises(ModelNotFound) as gone:
        indexed.checkpoint()

    assert "was indexed with the model colours (c0c0c0c0), which is no longer on this machine" in gone.value.message
    assert "--model shipped --switch-model (5 photos, less than a minute" in gone.value.hint
    assert indexed.checkpoint("shipped").name == "shipped"
    with pytest.raises(ModelNotFound, match="no model 'another'"):
        indexed.checkpoint("another")


def test_the_cost_goes_by_the_speed_of_an_earlier_run(indexed: Library, new: ColourRuntime) -> None:
    assert "(5 photos, less than a minute at 30 photos per second)" in str(indexed.mismatch(new.name, new.fingerprint))

    sql(indexed, "INSERT INTO runs (started_at_s, finished_at_s, encoded) VALUES (0, 24000, 100)")

    # 240 s per photo
    assert "(5 photos, about 20 minutes at the speed of an earlier run)" in str(
        indexed.mismatch(new.name, new.fingerprint)
    )


def xmp(title: str) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


def test_what_lies_beside_photos_is_read_during_a_switch_and_changes_encode_nothing_after_it(
    indexed: Library, new: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def titles() -> set[str | None]:
        return {hit.metadata.title for hit in SearchEngine(indexed, new).search("red", k=100)}

    for colour in COLOURS:
        (photos / f"{colour}.png.xmp").write_text(xmp("Harbour"))
    left = stop_at_once(indexed, new, monkeypatch)
    assert titles() == {"Harbour"}

    assert index(indexed, new) == IndexReport(found=5, unchanged=5 - left, encoded=left, texts=1)
    assert titles() == {"Harbour"}

    for colour in COLOURS:
        (photos / f"{colour}.png.xmp").write_text(xmp("Old harbour"))
    assert index(indexed, new) == IndexReport(found=5, described=5, texts=1)
    assert titles() == {"Old harbour"}
    assert verify(indexed).problems == []
