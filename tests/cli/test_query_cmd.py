from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixsearch import Circle, Library
from pixsearch.database.state import LibraryModel
from pixsearch.errors import UsageError, WordsNotLocated
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp
from pixsearch_cli.query_filters import circle, date
from pixsearch_indexer import index_folders
from tests.cli.conftest import Outcome, Run
from tests.colour_runtime import ColourRuntime
from tests.faults.conftest import PROJECT
from tests.loading import load_in_this_process
from tests.photos import photo_taken_at, picture_bytes
from tests.test_durable import files_no_larger_than
from tests.unsuitable_files import UNSUITABLE, in_time, reading


def test_the_table_shows_both_figures_and_the_path_unbroken(run: Run, indexed: Path, photos: Path) -> None:
    outcome = run("query", "red", "--shows")

    # pink is (1, 0.4, 0.4): match 10 x 1 - 5, cosine 1 / sqrt(1.32)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines() == [
        "rank  match  similarity  photo",
        f"   1   5.00   0.870 (2)  {photos}/pink.png",
        f"   2  -3.00   1.000 (1)  {photos}/dark red.png",
        f"   3  -5.00   0.000 (3)  {photos}/blue again.png (and 1 copy)",
    ]
    assert outcome.stderr == ""


def test_words_that_the_model_was_never_taught_are_named_on_stderr_and_in_json(
    run: Run, model: ColourRuntime, indexed: Path
) -> None:
    model.unknown = ("zorilla", "quagga", "okapi")

    one, more = run("query", "red zorilla", "--json"), run("query", "red okapi zorilla", "--minus", "quagga", "--paths")

    assert (one.exit_code, one.stderr) == (0, 'pixsearch: the model does not know "zorilla"\n')
    assert [json.loads(line)["unknown_words"] for line in one.stdout.splitlines()] == [["zorilla"]] * 3
    assert more.stderr == 'pixsearch: the model does not know "okapi", "zorilla" or "quagga"\n'
    assert len(more.stdout.splitlines()) == 3


def test_the_nearest_known_word_is_named_beside_an_unknown_one(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.unknown, model.words_taught = ("bycicle", "pinkk"), {"the": 99, "bicycle": 99, "red": 99}

    outcome = run("query", "red bycicle pinkk", "--json")

    # The photo's name contains "pink".
    assert outcome.stderr == (
        'pixsearch: the model does not know "bycicle" (did you mean "bicycle"?) or "pinkk" (did you mean "pink"?)\n'
    )
    for line in map(json.loads, outcome.stdout.splitlines()):
        assert line["unknown_words"] == ["bycicle", "pinkk"]
        assert line["suggestions"] == {"bycicle": "bicycle", "pinkk": "pink"}


def test_another_language_is_named(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.words_taught = {"the": 99}

    outcome = run("query", "un chien sur la plage", "--json")

    assert outcome.stderr == "pixsearch: the query looks like French; this model was trained on English\n"
    assert [json.loads(line)["language"] for line in outcome.stdout.splitlines()] == ["French"] * 3


def test_what_shall_not_be_there_is_left_out_and_that_is_said(run: Run, indexed: Path) -> None:
    less, minus = run("query", "red without blue", "--json"), run("query", "red", "--minus", "blue", "--json")

    assert less.stderr == (
        'pixsearch: "red without blue" is read as "red" without "blue"; use --literal to search for it as written\n'
    )
    lines = [json.loads(line) for line in less.stdout.splitlines()]
    assert [line.pop("negations") for line in lines] == [
        [{"text": "red without blue", "asked": "red", "less": ["blue"]}]
    ] * 3
    as_minus = [json.loads(line) for line in minus.stdout.splitlines()]
    assert [line.pop("negations") for line in as_minus] == [[]] * 3
    assert lines == as_minus


def test_literal_words_are_asked_as_they_are_and_not_remarked_on(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.unknown = ("zorilla",)

    literally = run("query", "red without blue zorilla", "--literal", "--json")
    as_they_are = run("query", "red blue", "--json")

    assert literally.stderr == ""
    assert literally.stdout == as_they_are.stdout


def test_a_query_that_leaves_nothing_to_look_for_is_refused(run: Run, indexed: Path) -> None:
    refused = run("query", "not a dog")

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        'pixsearch: "not a dog" leaves nothing to search for. Describe what to search for, e.g. "a street without a '
        'dog", or use --literal\n'
    )
    assert run("query", "not a dog", "--literal").exit_code == 0


def test_a_page_explains_the_words_that_are_looked_for(run: Run, indexed: Path, tmp_path: Path) -> None:
    run("query", "red without blue", "--html", tmp_path / "page.html")

    assert "where red is found" in (tmp_path / "page.html").read_text()
    assert "where without is found" not in (tmp_path / "page.html").read_text()


def test_what_photos_do_not_say_is_left_out_without_a_model_too(run: Run, indexed: Path) -> None:
    outcome = run("query", "photos red without dark", "--says", "--paths")

    assert outcome.exit_code == 3
    assert 'is read as "photos red" without "dark"' in outcome.stderr


def test_a_calibrated_match_is_shown_in_percent(run: Run, model: ColourRuntime, indexed: Path, photos: Path) -> None:
    model.calibrated = True

    # 1 / (1 + e^-5) = 0.9933, 1 / (1 + e^3) = 0.0474, 1 / (1 + e^5) = 0.0067
    assert run("query", "red", "--shows").stdout.splitlines() == [
        "rank       score  similarity  photo",
        f"   1  99% strong   0.870 (2)  {photos}/pink.png",
        "less likely:",
        f"   2   4.7% weak   1.000 (1)  {photos}/dark red.png",
        f"   3   0.7% weak   0.000 (3)  {photos}/blue again.png (and 1 copy)",
    ]


def test_percentages_are_shown_where_the_joint_stream_did_not_read_the_first_hit(
    run: Run, model: ColourRuntime, indexed: Path, photos: Path
) -> None:
    model.calibrated = True

    outcome = run("query", "red", "--shows", "--candidates", "1", "--top-k", "2")

    # The late score gives 1 / (1 + e^-(10 x 0.870 - 5)) = 0.976.
    assert outcome.stdout.splitlines() == [
        "rank       score  similarity  photo",
        f"   1  98% strong   0.870 (2)  {photos}/pink.png",
        "less likely:",
        f"   2   4.7% weak   1.000 (1)  {photos}/dark red.png",
    ]


def test_where_nothing_is_likely_all_is_below_the_line_and_json_says_so(
    run: Run, model: ColourRuntime, indexed: Path
) -> None:
    model.calibrated = True

    table = run("query", "green", "--name", "*blue*")
    lines = [json.loads(line) for line in run("query", "red", "--json").stdout.splitlines()]

    assert (table.exit_code, table.stdout.splitlines()[1]) == (0, "less likely:")
    assert [line["likely"] for line in lines] == [True, False, False]


def test_a_picture_alone_has_nothing_that_is_less_likely(
    run: Run, model: ColourRuntime, indexed: Path, photos: Path
) -> None:
    model.calibrated = True

    outcome = run("query", "--image", photos / "pink.png")

    assert "less likely" not in outcome.stdout


def test_without_re_rank_there_is_no_match_column(run: Run, indexed: Path, photos: Path) -> None:
    assert run("query", "red", "--no-rerank", "--shows", "--top-k", "2").stdout.splitlines() == [
        "rank  similarity  photo",
        f"   1   1.000 (1)  {photos}/dark red.png",
        f"   2   0.870 (2)  {photos}/pink.png",
    ]


def test_json_is_an_object_a_line_best_first(run: Run, indexed: Path, photos: Path) -> None:
    lines = [json.loads(line) for line in run("query", "red", "--json").stdout.splitlines()]

    assert [(line["rank"], line["path"]) for line in lines] == [
        (1, f"{photos}/pink.png"),
        (2, f"{photos}/dark red.png"),
        (3, f"{photos}/blue again.png"),
    ]
    assert lines[0] == {
        "rank": 1,
        "id": 3,  # the third photo indexed, in path order
        "path": f"{photos}/pink.png",
        "similarity": pytest.approx(0.870388, abs=1e-6),
        "similarity_rank": 2,
        "match": pytest.approx(5.0, abs=1e-5),
        "match_error": None,
        "probability": None,
        "score": None,
        "certainty": None,
        "likely": None,
        "says": [],
        "copies": [],
        "similar": [],
        "width": 20,
        "height": 10,
        "taken_at": None,
        "date_kind": None,
        "camera": None,
        "latitude": None,
        "longitude": None,
        "title": None,
        "caption": None,
        "keywords": [],
        "people": [],
        "rating": None,
        "location": None,
        "place": None,
        "writing": None,
        "unknown_words": [],
        "suggestions": {},
        "language": None,
        "negations": [],
    }
    assert lines[2]["copies"] == [f"{photos}/blue.png"]


def test_top_k_limits_the_answer(run: Run, indexed: Path) -> None:
    assert len(run("query", "red", "-k", "1", "--json").stdout.splitlines()) == 1


def test_candidates_limit_what_is_re_ranked(run: Run, model: ColourRuntime, indexed: Path) -> None:
    line = run("query", "red", "-k", "1", "--candidates", "1", "--json").stdout

    assert Path(json.loads(line)["path"]).name == "dark red.png"
    assert model.pairs_matched == 1


def test_re_rank_can_be_asked_for(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.default_order = "similarity"

    by_default, asked_for = run("query", "red", "--json"), run("query", "red", "--rerank", "--json")

    assert Path(json.loads(by_default.stdout.splitlines()[0])["path"]).name == "dark red.png"
    assert Path(json.loads(asked_for.stdout.splitlines()[0])["path"]).name == "pink.png"


def test_a_picture_finds_itself_first(run: Run, indexed: Path, photos: Path) -> None:
    assert run("query", "--image", photos / "pink.png", "-k", "1").stdout.splitlines() == [
        "rank  similarity  photo",
        f"   1   1.000 (1)  {photos}/pink.png",
    ]


def test_a_picture_that_is_not_there_is_named(run: Run, indexed: Path, tmp_path: Path) -> None:
    outcome = run("query", "--image", tmp_path / "none.jpg")

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"pixsearch: {tmp_path / 'none.jpg'}: ")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["  "],
        [],
        ["--image", "x.png", "--rerank"],
        ["red", "-k", "0"],
        ["red", "--candidates", "0"],
        ["red", "--no-such-option"],
        ["red", "-k", "many"],
        ["red", "--queries", "-"],
        ["red", "--after", "March"],
        ["red", "--after", "2021-02-30"],
        ["red", "--near", "Paris"],
        ["red", "--near", "48.8,2.3"],
        ["red", "--near", "48.8,10"],
        ["red", "--near", "Kyoto,"],
        ["red", "--near", "Kyoto,-5"],
        ["red", "--near", "Xyzzyville,20"],
        ["red", "--orientation", "round"],
        ["red", "--duplicates", "maybe"],
        ["red", "--threshold", "2"],
        ["red", "--threshold", "0.5"],
        ["red", "--threshold", "0.5", "--no-rerank"],
        ["--image", "x.png", "--threshold", "0.5"],
        ["red", "--json", "--paths"],
        ["red", "--plus", "0:blue"],
        ["red", "--minus", "red"],
        ["--image", "https://example.org/a.jpg"],
        ["red", "--find", "texts"],
        ["--image", "x.png", "--find", "texts", "--paths"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_no_result(
    run: Run, model: ColourRuntime, library: Path, arguments: list[str]
) -> None:
    store_a_photo(library, model)

    outcome = run("query", *arguments)

    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr


def test_no_library_yet_says_how_to_make_one(run: Run, model: ColourRuntime, library: Path) -> None:
    outcome = run("query", "red")

    assert outcome.exit_code == 1
    assert (
        outcome.stderr == f"pixsearch: there is no library in {library} yet. Create one with: pixsearch index FOLDER\n"
    )
    assert not library.exists()


def test_nothing_matches_in_an_empty_library(run: Run, model: ColourRuntime, library: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("index", tmp_path / "empty").exit_code == 0

    outcome = run("query", "red", "--json")

    assert (outcome.exit_code, outcome.stdout) == (3, "")
    assert outcome.stderr == "pixsearch: nothing in this library matches\n"


def test_a_library_of_before_an_upgrade_says_what_to_run_and_what_it_costs(
    run: Run, model: ColourRuntime, indexed: Path
) -> None:
    model.fingerprint = "ff" * 32

    outcome = run("query", "red")

    assert outcome.exit_code == 1
    assert outcome.stderr == (
        f"pixsearch: the library {indexed} was indexed with the earlier model colours (c0c0c0c0), which has been"
        " replaced by colours (ffffffff). Re-encode its photos with the new model: pixsearch index --switch-model"
        " (3 photos, less than a minute at 30 photos per second)\n"
    )


def test_a_library_that_is_switched_is_searched_as_far_as_it_goes_and_says_so(
    run: Run, model: ColourRuntime, indexed: Path, photos: Path
) -> None:
    model.fingerprint = "ff" * 32
    with Library.open(indexed) as library, library.writing() as writer:
        writer.use_model(LibraryModel(model.fingerprint, model.name, 3), switch=True)

    nothing = run("query", "red")
    photos.rename(photos.with_name("unplugged"))
    run("index")
    offline = run("query", "red")

    assert nothing.exit_code == 3
    assert nothing.stderr.splitlines()[0] == (
        "pixsearch: 3 photos are not yet encoded with the model colours (ffffffff). To continue, run: pixsearch index"
        " (less than a minute)"
    )
    assert offline.stderr.splitlines()[0] == (
        "pixsearch: 3 photos are not yet encoded with the model colours (ffffffff): offline."
        " Run pixsearch index when the folders are online again"
    )


def test_library_wins_over_the_environment(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other library"
    (photos / "pink.png").rename(tmp_path / "pink.png")
    run("index", photos, "--library", other)

    outcome = run("query", "red", "--json", "--library", other)

    assert [Path(json.loads(line)["path"]).name for line in outcome.stdout.splitlines()] == [
        "dark red.png",
        "blue again.png",
    ]


def test_a_name_with_line_breaks_and_escapes_cannot_fool_the_terminal(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").rename(photos / "a\n\x1b[31mb[bold].png")
    run("index", photos)

    assert rf"{photos}/a\n\x1b[31mb[bold].png" in run("query", "red").stdout


def store_a_photo(library: Path, model: ColourRuntime) -> None:
    """Store a photo without starting an index run's processes, for tests with many cases."""
    embeddings, grids = model.encode_pictures([Image.new("RGB", (8, 8), "red")])
    with Library.create(library) as opened, opened.writing() as writer:
        writer.use_model(LibraryModel(model.fingerprint, model.name, model.embedding_size))
        content = NewContent(b"digest", 1, Metadata("PNG", 8, 8), embeddings[0], grids[0])
        file = IndexedFile(b"/photos/red.png", FileStamp(1, 1), b"digest")
        writer.store(writer.root_of(b"/photos")[0], [content], [file], [])


def paths_of(outcome: Outcome) -> list[str]:
    return [Path(path).name for path in outcome.stdout.splitlines()]


def test_words_and_pictures_are_added_and_taken_away(run: Run, indexed: Path, photos: Path) -> None:
    # The query is (1, 0, 0) - (0, 0, 1): dark red is nearest, (1, 0.4, 0.4) is next, and blue is opposite.
    apart = run("query", "red", "--minus", "blue", "--no-rerank", "--paths")
    together = run("query", "red", "--plus", f"3:{photos / 'blue.png'}", "--no-rerank", "--paths")
    mostly = run("query", "red", "--plus", "0.1:blue", "--no-rerank", "--paths")

    assert paths_of(apart) == ["dark red.png", "pink.png", "blue again.png"]
    assert paths_of(together)[0] == "blue again.png"
    assert paths_of(mostly)[0] == "dark red.png"


def test_words_beside_a_picture_are_re_ranked(run: Run, indexed: Path, photos: Path) -> None:
    assert paths_of(run("query", "red", "--image", photos / "blue.png", "--paths"))[0] == "pink.png"


def test_a_picture_to_add_that_is_not_there_is_not_taken_for_words(run: Run, indexed: Path) -> None:
    outcome = run("query", "red", "--plus", "none.jpg")

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "none.jpg: cannot be read" in outcome.stderr


def test_a_picture_comes_from_stdin(run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((photos / "blue.png").read_bytes())))

    assert paths_of(run("query", "--image", "-", "--paths"))[0] == "blue again.png"


def test_a_picture_in_the_place_of_words_is_asked_by(
    run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)

    outcome = run("query", "blue.png", "--paths")
    missing = run("query", "green.png", "--paths")

    assert paths_of(outcome)[0] == "blue again.png"
    assert outcome.stderr == "pixsearch: blue.png is a picture: searching by image, as with --image\n"
    assert missing.stderr == ""


def test_words_come_from_stdin(run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("blue\n"))

    assert paths_of(run("query", "-", "--paths"))[0] == "blue again.png"


@pytest.fixture
def server(photos: Path) -> Iterator[str]:
    """The address of a server for the photos."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_picture_is_fetched_only_if_that_is_allowed(run: Run, indexed: Path, server: str) -> None:
    refused = run("query", "--image", f"{server}/blue.png")
    fetched = run("query", "--image", f"{server}/blue.png", "--allow-network", "--paths")
    missing = run("query", "--image", f"{server}/none.png", "--allow-network")

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--allow-network" in refused.stderr
    assert paths_of(fetched)[0] == "blue again.png"
    assert missing.exit_code == 1
    assert "cannot be downloaded: File not found" in missing.stderr


def answers(reply: bytes, seconds_a_byte: float = 0) -> str:
    """Run a server that sends this reply and nothing more, and yield its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening, suppress(OSError):
            asking, _ = listening.accept()
            with asking:
                asking.recv(65_536)
                for start in range(len(reply)):
                    asking.sendall(reply[start : start + 1])
                    time.sleep(seconds_a_byte)

    Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"", "closed connection without response"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "7 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "more than 100 headers"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://a/b\r\n\r\n", "cannot be downloaded"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "not allowed"),
    ],
)
def test_a_server_that_answers_with_nonsense_is_one_line(run: Run, indexed: Path, reply: bytes, said: str) -> None:
    outcome = run("query", "--image", answers(reply) + "/a.png", "--allow-network")

    assert outcome.exit_code == 1
    assert "cannot be downloaded" in outcome.stderr
    assert said in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_cli.query_parts._DOWNLOAD_TIMEOUT_S", 0.5)
    address = answers(b"HTTP/1.1 200 OK\r\n" * 100, seconds_a_byte=0.1)

    outcome = run("query", "--image", f"{address}/a.png", "--allow-network")

    assert outcome.stderr == f"pixsearch: {address}/a.png cannot be downloaded: timed out after 0.5 s\n"


def test_an_address_may_have_blanks_and_letters_as_in_a_browser(
    run: Run, indexed: Path, photos: Path, server: str
) -> None:
    (photos / "blue.png").rename(photos / "bl\N{LATIN SMALL LETTER U WITH DIAERESIS} e.png")

    fetched = run(
        "query", "--image", f"{server}/bl\N{LATIN SMALL LETTER U WITH DIAERESIS} e.png", "--allow-network", "--paths"
    )

    assert paths_of(fetched)[0] == "blue again.png"


def test_each_line_of_a_file_is_a_query(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("red\n\n  blue  \nred\n")

    as_json = run("query", "--queries", tmp_path / "queries.txt", "-k", "1", "--json")
    table = run("query", "--queries", tmp_path / "queries.txt", "-k", "1")

    lines = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [(line["query"], Path(line["path"]).name) for line in lines] == [
        ("red", "pink.png"),
        ("blue", "blue again.png"),
        ("red", "pink.png"),
    ]
    assert [line for line in table.stdout.splitlines() if line in ("red", "blue")] == ["red", "blue", "red"]


def test_a_file_of_queries_that_is_no_text_is_named(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_bytes(b"caf\xe9\n")

    outcome = run("query", "--queries", tmp_path / "queries.txt")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "queries.txt is not UTF-8 text" in outcome.stderr


def test_many_queries_come_from_stdin(run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("red\nblue\n"))

    assert paths_of(run("query", "--queries", "-", "-k", "1", "--paths")) == ["pink.png", "blue again.png"]


def test_what_the_shell_has_opened_is_read_as_stdin_is(
    run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, --queries <(command)."""
    with in_time(), subprocess.Popen(["echo", "red"], stdout=subprocess.PIPE) as echo:
        assert echo.stdout is not None
        queries = run("query", "--queries", f"/dev/fd/{echo.stdout.fileno()}", "-k", "1", "--paths")
    with in_time(), subprocess.Popen(["cat", photos / "blue.png"], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        image = run("query", "--image", f"/dev/fd/{cat.stdout.fileno()}", "-k", "1", "--paths")

    assert (paths_of(queries), paths_of(image)) == (["pink.png"], ["blue again.png"])

    monkeypatch.setattr("pixsearch_cli.query_cmd.TEXT_LIMIT_BYTES", 1 << 20)
    with Path("/dev/zero").open("rb") as endless, in_time():
        outcome = run("query", "--queries", f"/dev/fd/{endless.fileno()}")
    assert outcome.exit_code == 2
    assert "larger than 1 MiB" in outcome.stderr


def test_filters_narrow_what_is_found(run: Run, indexed: Path, photos: Path) -> None:
    assert paths_of(run("query", "red", "--name", "BLUE*", "--paths")) == ["blue again.png"]
    assert paths_of(run("query", "red", "--name", "blue.png", "--paths")) == ["blue.png"]
    assert len(paths_of(run("query", "red", "--folder", photos, "--orientation", "landscape", "--paths"))) == 3
    for nothing in (
        ["--folder", photos / "none"],
        ["--orientation", "portrait"],
        ["--after", "2021"],
        ["--before", "2021-03-15T18:30"],
        ["--camera", "canon"],
        ["--keyword", "trip"],
        ["--min-megapixels", "1"],
        ["--max-megapixels", "0.0001"],
        ["--has-place"],
        ["--near", "48.86,2.35,10"],
    ):
        outcome = run("query", "red", *nothing)
        assert (outcome.exit_code, outcome.stdout) == (3, "")
        assert outcome.stderr == "pixsearch: nothing in this library matches\n"


@pytest.fixture
def travels(model: ColourRuntime, library: Path, tmp_path: Path) -> Path:
    """A library with photos of Kinkaku-ji in Kyoto and the Eiffel Tower in Paris, and one taken in Paris, Texas."""
    photo_taken_at(tmp_path / "travels/kinkaku-ji.jpg", 35.0394, 135.7292, "yellow")
    photo_taken_at(tmp_path / "travels/eiffel tower.jpg", 48.8584, 2.2945, "grey")
    photo_taken_at(tmp_path / "travels/other tower.jpg", 33.6376, -95.5285, "red")
    with Library.create(library) as made:
        index_folders(made, model, [tmp_path / "travels"], load_files=load_in_this_process)
    return library


@pytest.mark.parametrize(
    ("near", "town", "photo"),
    [
        ("Kyoto,20", "Kyoto, Japan (35.021, 135.754)", "kinkaku-ji.jpg"),
        ("kyōto, 20 km", "Kyoto, Japan (35.021, 135.754)", "kinkaku-ji.jpg"),
        ("Paris,20", "Paris, Île-de-France, France (48.853, 2.349)", "eiffel tower.jpg"),
        ("Paris, Texas,20", "Paris, Texas, United States (33.661, -95.556)", "other tower.jpg"),
    ],
)
def test_a_town_is_given_by_its_name_and_named_on_stderr(
    run: Run, travels: Path, near: str, town: str, photo: str
) -> None:
    for words in ([], ["red"]):
        outcome = run("query", *words, "--near", near, "--paths")

        assert paths_of(outcome) == [photo]
        assert outcome.stderr == f"pixsearch: near {town}\n"


def test_the_radius_is_measured_from_the_town(run: Run, travels: Path) -> None:
    # Kinkaku-ji is 0.0184 degrees north (2.05 km) and 0.0248 degrees west (2.26 km) of Kyoto's coordinates: 3.05 km.
    assert run("query", "--near", "Kyoto,3", "--paths").exit_code == 3
    assert paths_of(run("query", "--near", "Kyoto,3.1", "--paths")) == ["kinkaku-ji.jpg"]


def test_coordinates_are_no_town(run: Run, travels: Path) -> None:
    outcome = run("query", "--near", "35.03,135.73,20", "--paths")

    assert paths_of(outcome) == ["kinkaku-ji.jpg"]
    assert outcome.stderr == ""


@given(
    st.text(st.characters()) | st.lists(st.sampled_from(["Paris", "Texas", "2.35", "nan", ""])).map(",".join),
    st.floats(),
)
def test_whatever_is_given_as_a_circle_is_one_or_is_refused(centre: str, radius_km: float) -> None:
    with suppress(UsageError):
        assert circle(centre) is not None
    with suppress(UsageError):
        given_circle = circle(f"{centre},{radius_km}km")
        assert given_circle is not None
        assert given_circle.radius_km == pytest.approx(radius_km, nan_ok=True)


def test_a_town_may_be_called_like_what_python_takes_for_a_number() -> None:
    assert circle("Nan,20") == Circle(18.784, 100.779, 20, "Nan, Thailand (18.784, 100.779)")


@pytest.mark.parametrize("name", ["Xyzzyville", "Paris, Kentuckyshire"])
def test_a_town_that_is_not_known_is_refused_in_one_line(run: Run, travels: Path, name: str) -> None:
    outcome = run("query", "red", "--near", f"{name},20")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        f"pixsearch: Invalid value for '--near': unknown town '{name}'. Check the spelling, or use LAT,LON,KM; "
        "only towns of 5,000 people or more are known. See --help\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021", datetime(2021, 1, 1)),
        ("2021-03", datetime(2021, 3, 1)),
        ("2021-03-15", datetime(2021, 3, 15)),
        ("2021-03-15T18:30", datetime(2021, 3, 15, 18, 30)),
        ("2021-03-15 18:30:05", datetime(2021, 3, 15, 18, 30, 5)),
    ],
)
def test_a_date_is_when_it_begins(text: str, expected: datetime) -> None:
    assert date(text) == expected


def test_nothing_as_probable_as_the_threshold_exits_with_3(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.calibrated = True

    some, none = (run("query", "red", "--threshold", probability, "--paths") for probability in ("0.9", "0.999"))

    assert paths_of(some) == ["pink.png"]
    assert (none.exit_code, none.stdout) == (3, "")


def test_pictures_that_look_the_same_are_one_line_unless_asked_for(run: Run, indexed: Path, photos: Path) -> None:
    Image.new("RGB", (20, 10), (250, 102, 102)).save(photos / "pink too.png")
    run("index", photos)

    folded = run("query", "red")
    shown = run("query", "red", "--duplicates", "show", "--paths")

    assert folded.stdout.splitlines()[1].endswith("pink.png (and 1 similar)")
    assert paths_of(shown) == ["pink.png", "pink too.png", "dark red.png", "blue again.png", "blue.png"]


def test_paths_are_the_bytes_of_the_names_whatever_they_are(library: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/odd/line\nbreak \xff\xe6\xa1\x9c.png"
    os.mkdir(os.path.dirname(name))  # noqa: PTH102, PTH120 - not valid UTF-8
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(picture_bytes("red"))
    command = [sys.executable, "-m", "tests.faults.pixsearch_with_colours"]
    environment = os.environ | {"PIXSEARCH_LIBRARY": str(library)}
    subprocess.run([*command, "index", tmp_path / "odd"], check=True, env=environment, cwd=PROJECT, capture_output=True)

    printed = [
        subprocess.run(
            [*command, "query", "red", option], check=True, env=environment, cwd=PROJECT, capture_output=True
        ).stdout
        for option in ("--paths", "-0")
    ]

    assert printed == [name + b"\n", name + b"\0"]


def test_photos_are_copied_by_rank_and_nothing_is_overwritten(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/001-pink.png").write_text("mine")

    outcome = run("query", "red", "-k", "2", "--copy-to", tmp_path / "chosen")

    assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == [
        "001-pink-2.png",
        "001-pink.png",
        "002-dark red.png",
    ]
    assert (tmp_path / "chosen/001-pink.png").read_text() == "mine"
    assert (tmp_path / "chosen/002-dark red.png").read_bytes() == (tmp_path / "photos/dark red.png").read_bytes()
    assert "2 photos copied" in outcome.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes as Linux has them")
def test_a_copy_keeps_time_permissions_and_extended_attributes(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    photo = photos / "dark red.png"
    os.setxattr(photo, "user.xdg.tags", b"holiday")
    photo.chmod(0o640)

    run("query", "red", "-k", "2", "--copy-to", tmp_path / "chosen")

    copy = tmp_path / "chosen/002-dark red.png"
    assert os.getxattr(copy, "user.xdg.tags") == b"holiday"
    assert (copy.stat().st_mtime_ns, copy.stat().st_mode) == (photo.stat().st_mtime_ns, photo.stat().st_mode)


def test_the_best_photo_is_opened(run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def launch(path: str) -> int:
        opened.append(path)
        return 0

    monkeypatch.setattr("typer.launch", launch)

    run("query", "red", "--open")

    assert opened == [str(photos / "pink.png")]


def test_where_there_is_no_viewer_it_says_so(run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.launch", lambda _: 1)

    outcome = run("query", "red", "--open")

    assert outcome.exit_code == 1
    assert "could not be opened" in outcome.stderr


class Page(HTMLParser):
    """A parser that collects tags with their attributes, and all text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page_holds_its_pictures_and_nothing_from_elsewhere(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "pink.png").rename(photos / "<b>&.png")
    run("index", photos)

    run("query", "red", "--html", tmp_path / "page.html")

    page = Page((tmp_path / "page.html").read_text())
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 + 3  # each has a map for the only word
    for source in pictures:
        assert source is not None
        kind, _, data = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (20, 10)
    assert ("a", {"href": (photos / "<b>&.png").as_uri()}) in page.tags
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "b")]
    assert str(photos / "<b>&.png") in page.texts
    assert "red" in page.texts


def test_a_page_and_small_pictures_have_the_line_too(
    run: Run, model: ColourRuntime, indexed: Path, tmp_path: Path
) -> None:
    model.calibrated = True

    pictures = run("query", "red", "--pictures", "--html", tmp_path / "page.html").stdout

    page = (tmp_path / "page.html").read_text()
    assert page.index("pink.png") < page.index("<h2>Less likely</h2>") < page.index("dark red.png")
    assert pictures.index("pink.png") < pictures.index("less likely:") < pictures.index("dark red.png")


def test_small_pictures_are_shown_with_their_figures(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "dark red.png").unlink()

    lines = run("query", "red", "--pictures", "-k", "2").stdout.splitlines()

    assert len(lines) >= 9  # a picture of 8 lines, and a line for the missing one
    text = " ".join(" ".join(lines).split())
    assert "1 match 5.00 similarity 0.870 (2)" in text
    assert "the file no longer" in text


def test_a_page_says_why_word_by_word(run: Run, indexed: Path, tmp_path: Path) -> None:
    run("query", "red blue", "--html", tmp_path / "page.html", "-k", "1")

    page = Page((tmp_path / "page.html").read_text())
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"][1:] == [
        "where red is found",
        "where blue is found",
    ]
    assert "why" in page.texts


def test_a_page_of_a_model_that_cannot_locate_words_has_the_hits_and_no_maps(
    run: Run, model: ColourRuntime, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locate_words(*_: object) -> None:
        raise WordsNotLocated("the model tiny cannot show where words are")

    monkeypatch.setattr(model, "locate_words", locate_words)

    outcome = run("query", "red", "--html", tmp_path / "page.html")

    assert outcome.exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "pink.png" in page
    assert "why" not in Page(page).texts


def test_a_page_of_a_query_without_words_has_nothing_to_explain(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    run("query", "--image", photos / "blue.png", "--html", tmp_path / "page.html")

    assert "why" not in Page((tmp_path / "page.html").read_text()).texts


def test_a_picture_finds_texts(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("all blue\nall red\n")
    assert "2 texts encoded" in run("index", tmp_path / "captions.txt").stdout

    table = run("query", "--image", photos / "pink.png", "--find", "texts")
    as_json = run("query", "--image", photos / "pink.png", "--find", "texts", "--json", "-k", "1")

    # pink is (1, 0.4, 0.4): matches 10 x 1 - 5 and 10 x 0.4 - 5, cosines 1 and 0.4 by sqrt(1.32)
    assert table.stdout.splitlines() == [
        "rank  match  similarity  text",
        f"   1   5.00   0.870 (1)  all red  ({tmp_path}/captions.txt:2)",
        f"   2  -1.00   0.348 (2)  all blue  ({tmp_path}/captions.txt:1)",
    ]
    assert json.loads(as_json.stdout) == {
        "text": "all red",
        "rank": 1,
        "similarity": pytest.approx(0.870388, abs=1e-6),
        "similarity_rank": 1,
        "match": pytest.approx(5.0, abs=1e-5),
        "probability": None,
        "likely": None,
        "sources": [{"path": f"{tmp_path}/captions.txt", "line": 2}],
    }


def test_where_no_text_was_indexed_none_matches(run: Run, indexed: Path, photos: Path) -> None:
    outcome = run("query", "--image", photos / "pink.png", "--find", "texts")

    assert (outcome.exit_code, outcome.stdout) == (3, "")


def seen_on_a_terminal(library: Path, columns: int, **environment: str) -> str:
    """Return what a query prints on a terminal of this width that does not reply to control sequences."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 0, 0))
    command = [sys.executable, "-m", "tests.faults.pixsearch_with_colours", "query", "red", "-k", "1"]
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment = inherited | {"PIXSEARCH_LIBRARY": str(library), "TERM": "xterm-256color"} | environment
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.PIPE, env=environment, cwd=PROJECT)
    os.close(its)
    printed = b""
    with suppress(OSError):  # EIO when the output ends
        while data := os.read(ours, 10_000):
            printed += data
    _, said = process.communicate()
    os.close(ours)
    assert (process.returncode, said) == (0, b"")
    return printed.decode()


def test_a_terminal_shows_pictures_unless_it_has_no_size_or_no_colours(indexed: Path) -> None:
    assert "▀" in seen_on_a_terminal(indexed, 100)
    for printed in (seen_on_a_terminal(indexed, 0), seen_on_a_terminal(indexed, 100, NO_COLOR="1")):
        assert "▀" not in printed
        assert "pink.png" in printed


def test_what_could_not_be_copied_is_said_and_exits_1(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "blue.png").unlink()  # its copy is still there
    (photos / "pink.png").unlink()

    outcome = run("query", "red", "--copy-to", tmp_path / "chosen")

    assert outcome.exit_code == 1
    assert f"{photos / 'pink.png'} could not be copied: the file no longer exists" in outcome.stderr
    assert "1 of 3 photos could not be copied" in outcome.stderr
    assert sorted(file.name for file in (tmp_path / "chosen").iterdir()) == ["002-dark red.png", "003-blue again.png"]


def test_a_photo_that_is_not_there_cannot_be_opened(
    run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.launch", lambda _: pytest.fail("there is nothing to open"))
    (photos / "pink.png").unlink()

    outcome = run("query", "red", "-k", "1", "--open")

    assert outcome.exit_code == 1
    assert f"{photos / 'pink.png'} could not be opened: the file no longer exists" in outcome.stderr


def of_the_same_size_and_time(photo: Path, secret: Path) -> Path:
    """Make a file that passes for the photo unless its content is read."""
    found = photo.stat()
    secret.write_bytes(b"secret".ljust(found.st_size))
    os.utime(secret, ns=(found.st_atime_ns, found.st_mtime_ns))
    return secret


@pytest.mark.parametrize("how", ["link", "hard link", "pipe", "parent"])
def test_only_what_was_indexed_is_copied_and_the_others_are(
    run: Run, indexed: Path, photos: Path, tmp_path: Path, how: str
) -> None:
    pink = photos / "pink.png"
    secret = of_the_same_size_and_time(pink, tmp_path / "pink.png")
    if how == "parent":
        photos.rename(tmp_path / "moved")
        secret.rename(tmp_path / "moved" / "pink.png")
        photos.symlink_to(tmp_path / "moved")  # the folder itself may be a link, but that gives access to no other file
    else:
        pink.unlink()
        {"link": pink.symlink_to, "hard link": pink.hardlink_to}.get(how, lambda _: os.mkfifo(pink))(secret)

    with in_time():
        outcome = run("query", "red", "--copy-to", tmp_path / "chosen")

    assert outcome.exit_code == 1
    assert f"{pink} could not be copied: " in outcome.stderr
    assert "2 photos copied" in outcome.stderr
    assert "1 of 3 photos could not be copied" in outcome.stderr
    assert sorted(file.name for file in (tmp_path / "chosen").iterdir()) == ["002-dark red.png", "003-blue again.png"]


def test_a_copy_that_does_not_fit_leaves_nothing_and_the_others_are_copied(
    run: Run, model: ColourRuntime, library: Path, photos: Path, tmp_path: Path
) -> None:
    Image.effect_noise((400, 300), 80).convert("RGB").save(photos / "large.png")
    assert run("index", photos).exit_code == 0

    with files_no_larger_than(50_000):
        outcome = run("query", "red", "--copy-to", tmp_path / "chosen")

    assert outcome.exit_code == 1
    assert f"{photos / 'large.png'} could not be copied: File too large" in outcome.stderr
    assert len(list((tmp_path / "chosen").iterdir())) == 3


def test_a_copy_has_the_time_and_the_permissions_of_the_photo(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "pink.png").chmod(0o640)

    run("query", "red", "-k", "1", "--copy-to", tmp_path / "chosen")

    copy, photo = (path.stat() for path in (tmp_path / "chosen/001-pink.png", photos / "pink.png"))
    assert (copy.st_mtime_ns, copy.st_mode) == (photo.st_mtime_ns, photo.st_mode)


def test_what_could_not_be_copied_is_opened_all_the_same_and_exits_1(
    run: Run, indexed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []

    def launch(path: str) -> int:
        launched.append(path)
        return 0

    monkeypatch.setattr("typer.launch", launch)
    (photos / "dark red.png").unlink()

    outcome = run("query", "red", "-k", "2", "--copy-to", tmp_path / "chosen", "--open")

    assert (outcome.exit_code, launched) == (1, [str(photos / "pink.png")])


def test_a_link_in_the_place_of_the_best_photo_is_not_opened(
    run: Run, indexed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.launch", lambda _: pytest.fail("it is not the photo"))
    secret = of_the_same_size_and_time(photos / "pink.png", tmp_path / "secret")
    (photos / "pink.png").unlink()
    (photos / "pink.png").symlink_to(secret)

    outcome = run("query", "red", "-k", "1", "--open")

    assert outcome.exit_code == 1
    assert "could not be opened: a link has replaced" in outcome.stderr


@pytest.mark.parametrize("option", [["--open"], ["--copy-to", "chosen"]])
def test_where_nothing_matches_there_is_nothing_to_copy_or_open(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("query", "red", "--name", "nothing", *option).exit_code == 3
    assert not (tmp_path / "chosen").exists()


def test_a_page_shows_only_what_was_indexed(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "lime").save(tmp_path / "other.png")
    (photos / "pink.png").unlink()
    (photos / "pink.png").symlink_to(tmp_path / "other.png")

    run("query", "red", "-k", "1", "--html", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert "a link has replaced" in page
    assert "data:image" not in page


def test_a_page_destroys_no_other_file(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html.tmp").write_text("mine")
    (tmp_path / "target.html").write_text("old")
    (tmp_path / "page.html").symlink_to("target.html")

    assert run("query", "red", "--html", tmp_path / "page.html").exit_code == 0

    assert (tmp_path / "page.html.tmp").read_text() == "mine"
    assert (tmp_path / "page.html").is_symlink()
    assert (tmp_path / "target.html").read_text().startswith("<!doctype html>")


def test_a_page_can_go_into_a_pipe(run: Run, indexed: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with reading(tmp_path / "pipe") as reader:
        outcome = run("query", "red", "--html", tmp_path / "pipe")
        page, _ = reader.communicate()

    assert outcome.exit_code == 0
    assert page.startswith(b"<!doctype html>")
    assert outcome.stdout.startswith("rank")


@pytest.mark.parametrize("name", ["/dev/fd/1", "link", "page.html"])
def test_a_page_on_stdout_is_all_that_is_there(indexed: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [
        sys.executable,
        "-m",
        "tests.faults.pixsearch_with_colours",
        "query",
        "red",
        "--html",
        str(tmp_path / name),
    ]
    environment = os.environ | {"PIXSEARCH_LIBRARY": str(indexed)}

    with (tmp_path / "page.html").open("wb") as file:
        file.write(b"<!-- mine -->")
        file.flush()
        subprocess.run(command, check=True, env=environment, cwd=PROJECT, stdout=file)
    page = (tmp_path / "page.html").read_text()

    assert page.startswith("<!-- mine --><!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_queries_come_from_a_file_and_nothing_is_waited_for(run: Run, indexed: Path, tmp_path: Path, kind: str) -> None:
    UNSUITABLE[kind](tmp_path / "queries.txt")

    with in_time():
        outcome = run("query", "--queries", tmp_path / "queries.txt")

    reason = "larger than 64 MiB" if kind == "large" else "not a regular file"
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"pixsearch: {tmp_path / 'queries.txt'} is {reason}. ")


def test_photos_are_listed_without_words_and_without_a_figure(run: Run, indexed: Path, photos: Path) -> None:
    outcome = run("query", "--name", "E", "--sort", "newest", "--no-pictures")

    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.splitlines() == [
        "rank  photo",
        f"   1  {photos / 'blue again.png'} (and 1 copy)",
        f"   2  {photos / 'dark red.png'}",
    ]


def test_wrong_usage_of_filters_is_one_line(run: Run, indexed: Path) -> None:
    for arguments, told in (
        (["--after", "2021", "--before", "2020"], "the range from 2021-01-01 00:00:00 to 2020-01-01 00:00:00 is empty"),
        (["--rating", "9"], "a rating must be from 1 to 5, not 9"),
        ([], "the query is empty"),
    ):
        outcome = run("query", *arguments)

        assert outcome.exit_code == 2
        assert told in outcome.stderr
        assert outcome.stderr.count("\n") == 1


def test_no_other_model_than_the_librarys_is_loaded(
    run: Run, indexed: Path, model: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(checkpoint: Path, gpu: bool = True) -> ColourRuntime:
        loaded.append(str(checkpoint))
        return model

    monkeypatch.setitem(sys.modules, "pixsearch.model.load_runtime", SimpleNamespace(load_runtime=load))

    assert run("query", "red").exit_code == 0
    assert loaded == ["colours"]


def test_a_listing_needs_no_model(run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixsearch.model.load_runtime", SimpleNamespace(load_runtime=pytest.fail))

    assert run("query", "--sort", "newest", "--paths").exit_code == 0
