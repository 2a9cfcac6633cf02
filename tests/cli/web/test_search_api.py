from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from httpx2 import Response
from PIL import Image
from starlette.testclient import TestClient

from pixsearch import Library
from pixsearch_cli.query_filters import FILTERS
from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.photos import picture_bytes


def names(response: Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [Path(hit["path"]).name for hit in response.json()["hits"]]


def problem(response: Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    answer = response.json()
    assert answer["status"] == response.status_code
    return response.status_code, answer["detail"]


NO_REMARKS: dict[str, object] = {"unknown_words": [], "suggestions": {}, "language": None, "negations": []}


def without_remarks(hit: dict[str, object]) -> dict[str, object]:
    """Remove the remarks about the query from a line that the command prints, and return them."""
    return {name: hit.pop(name) for name in NO_REMARKS}


def test_a_hit_is_what_the_command_prints(client: TestClient, run: Run) -> None:
    printed = [json.loads(line) for line in run("query", "red", "--json").stdout.splitlines()]

    assert [without_remarks(hit) for hit in printed] == [NO_REMARKS] * 3
    assert client.get("/api/search?q=red").json() == {
        "hits": printed,
        **NO_REMARKS,
        "near": None,
        "damaged": 0,
        "uploads": [],
    }


def test_words_that_the_model_was_never_taught_are_named(client: TestClient, model: ColourRuntime) -> None:
    model.unknown = ("zorilla", "quagga")

    answer = client.get("/api/search", params={"q": "red zorilla", "minus": ["quagga"]}).json()

    assert answer["unknown_words"] == ["zorilla", "quagga"]
    assert len(answer["hits"]) == 3


def test_remarks_are_those_of_the_command_and_literal_switches_them_off(
    client: TestClient, run: Run, model: ColourRuntime
) -> None:
    model.unknown, model.words_taught = ("bycicle",), {"the": 99, "bicycle": 99}
    printed = json.loads(run("query", "red bycicle without blue", "--json").stdout.splitlines()[0])

    answer = client.get("/api/search?q=red bycicle without blue").json()
    literally = client.get("/api/search?q=red bycicle without blue&literal=true").json()

    remarks = {
        "unknown_words": ["bycicle"],
        "suggestions": {"bycicle": "bicycle"},
        "language": None,
        "negations": [{"text": "red bycicle without blue", "asked": "red bycicle", "less": ["blue"]}],
    }
    assert without_remarks(printed) == without_remarks(answer) == remarks
    assert without_remarks(literally) == NO_REMARKS
    assert [hit["match"] for hit in answer["hits"]] != [hit["match"] for hit in literally["hits"]]


def test_another_language_is_named(client: TestClient, model: ColourRuntime) -> None:
    model.words_taught = {"the": 99}

    assert client.get("/api/search?q=ein Hund im Schnee").json()["language"] == "German"


def test_words_that_leave_nothing_to_look_for_are_a_problem(client: TestClient) -> None:
    status, detail = problem(client.get("/api/search?q=not a dog"))

    assert status == 400
    assert detail.startswith('"not a dog" leaves nothing to search for')


@pytest.mark.parametrize(
    ("near", "town"),
    [
        ("Kyoto,20", "Kyoto, Japan (35.021, 135.754)"),
        ("Paris, Texas,20", "Paris, Texas, United States (33.661, -95.556)"),
        ("48.86,2.35,10", None),
    ],
)
def test_the_answer_names_the_town_that_a_name_was_taken_for(client: TestClient, near: str, town: str | None) -> None:
    by_address = client.get("/api/search", params={"q": "red", "near": near})
    as_json = client.post("/api/search", json={"near": near})

    assert by_address.json()["near"] == as_json.json()["near"] == town


def test_the_first_stage_alone_orders_by_similarity(client: TestClient, model: ColourRuntime) -> None:
    found = client.get("/api/search?q=red&rerank=false")

    assert names(found) == ["dark red.png", "pink.png", "blue again.png"]
    assert [hit["match"] for hit in found.json()["hits"]] == [None, None, None]
    assert model.pairs_matched == 0


def test_words_and_pictures_are_weighed_and_filtered_as_by_the_command(client: TestClient, run: Run) -> None:
    options = ["--plus", "0.5:blue", "--minus", "green", "--no-rerank", "--name", "*red*", "-k", "2"]
    printed = run("query", "red", *options, "--paths").stdout.splitlines()

    by_address = client.get("/api/search?q=red&plus=0.5:blue&minus=green&rerank=false&name=*red*&k=2")
    as_json = {"q": "red", "plus": ["0.5:blue"], "minus": ["green"], "rerank": False, "name": "*red*", "k": 2}

    assert [hit["path"] for hit in by_address.json()["hits"]] == printed
    assert client.post("/api/search", json=as_json).json() == by_address.json()


def test_photos_are_listed_page_by_page_as_by_the_command(client: TestClient, run: Run) -> None:
    printed = [json.loads(line) for line in run("query", "--sort", "oldest", "--json").stdout.splitlines()]
    pages = [client.get(f"/api/search?sort=oldest&k=2&offset={offset}").json()["hits"] for offset in (0, 2, 4)]

    assert [without_remarks(hit) for hit in printed] == [NO_REMARKS] * 3
    assert [*pages[0], *pages[1]] == printed
    assert pages[2] == []


def test_every_filter_of_the_command_is_one_of_the_api(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    parameters = {one["name"] for one in document["paths"]["/api/search"]["get"]["parameters"]}

    assert parameters >= set(FILTERS)
    assert set(document["components"]["schemas"]["HitRecord"]["properties"]) == set(
        client.get("/api/search?q=red&k=1").json()["hits"][0]
    )


def test_photos_like_one_of_the_library_are_found_by_its_id(client: TestClient, model: ColourRuntime) -> None:
    blue = client.get("/api/search?q=blue&k=1").json()["hits"][0]["id"]
    model.pictures_encoded = 0

    assert names(client.get(f"/api/search?like={blue}&k=1")) == ["blue again.png"]
    assert names(client.get(f"/api/search?q=red&unlike=0.5:{blue}&rerank=false&k=1")) == ["dark red.png"]
    assert model.pictures_encoded == 0


def test_copies_are_folded_unless_they_are_asked_for(client: TestClient) -> None:
    assert names(client.get("/api/search?q=blue&rerank=false&k=2")) == ["blue again.png", "pink.png"]
    assert names(client.get("/api/search?q=blue&rerank=false&k=2&duplicates=show")) == ["blue again.png", "blue.png"]


def test_a_picture_that_is_sent_finds_others_and_may_be_asked_by_again(client: TestClient) -> None:
    sent = client.post("/api/search", files={"picture": ("any name", picture_bytes((250, 0, 5), "JPEG", (300, 200)))})

    assert names(sent)[0] == "dark red.png"
    [upload] = sent.json()["uploads"]
    again = client.get("/api/search", params={"like": upload})
    assert again.json()["hits"] == sent.json()["hits"]
    assert client.get(f"/api/uploads/{upload}").headers["content-type"] == "image/png"


def test_a_picture_that_is_sent_finds_what_the_command_finds_by_its_file(
    client: TestClient, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "asked.png").write_bytes(picture_bytes((90, 20, 60), "PNG", (100, 40)))
    printed = [
        json.loads(line) for line in run("query", "--image", tmp_path / "asked.png", "--json").stdout.splitlines()
    ]

    sent = client.post("/api/search", files={"picture": (tmp_path / "asked.png").read_bytes()})

    assert [hit | NO_REMARKS for hit in sent.json()["hits"]] == printed


def test_a_picture_is_searched_by_also_where_nothing_can_be_kept(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "looking").write_text("a file where the folder would be")

    sent = client.post("/api/search", files={"picture": picture_bytes((250, 0, 5))})

    assert names(sent)[0] == "dark red.png"
    assert problem(client.get("/api/search", params={"like": sent.json()["uploads"][0]}))[0] == 404


def test_words_beside_a_picture_go_along_as_json(client: TestClient) -> None:
    query = json.dumps({"q": "blue", "minus": ["2:red"], "rerank": False, "k": 1})

    sent = client.post("/api/search", data={"query": query}, files={"picture": picture_bytes("blue")})

    assert names(sent) == ["blue again.png"]


@pytest.mark.parametrize(
    ("asked", "status", "detail"),
    [
        ("", 400, "the query is empty. Enter search text, --image or a filter, or --sort newest for all photos"),
        ("q=%20", 400, "the query is empty"),
        ("q=red&after=yesterday", 400, "'yesterday' is not a date"),
        ("q=red&near=1,2", 400, "'1,2' is not a location with a radius"),
        ("q=red&near=nan,0,1", 400, "not a location with a radius"),
        ("q=red&near=Kyoto", 400, "'Kyoto' is not a location with a radius. Use NAME,KM or LAT,LON,KM"),
        ("q=red&near=Xyzzyville,20", 400, "unknown town 'Xyzzyville'. Check the spelling"),
        ("q=red&folder=%00", 400, "not a valid folder name"),
        ("q=red&minus=0:blue", 400, "must be between 0.001 and 1000, not 0.0"),
        ("q=red&minus=1" + "0" * 39 + ":blue", 400, "must be between 0.001 and 1000, not 1e+39"),
        ("like=999", 422, "the library has no picture 999"),
        ("like=" + "ab" * 32, 404, "no longer available: upload it again"),
        ("like=/etc/passwd", 422, "like"),
        ("q=red&k=0", 422, "k:"),
        ("q=red&k=1001", 422, "k:"),
        ("q=red&k=1000", 422, "require rerank=false"),
        ("q=red&min_megapixels=inf", 422, "min_megapixels"),
        ("q=red&threshold=0.5", 400, "has no calibrated probabilities"),
        ("q=red&colour=blue", 422, "unknown field 'colour'"),
        ("q=" + "x" * 1001, 422, "q:"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_that_says_so(
    client: TestClient, asked: str, status: int, detail: str
) -> None:
    found, said = problem(client.get(f"/api/search?{asked}"))

    assert found == status
    assert detail in said


FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"q": "\\ud800"}', "application/json", 422),
        (b'{"q": NaN}', "application/json", 422),
        (b"[" * 10_000, "application/json", 422),
        (b"red", "text/plain", 415),
        (b"red", "multipart/form-data", 400),
        (b"red", FORM, 400),
        (b'--x\r\nContent-Disposition: form-data; name="strange"\r\n\r\n1\r\n--x--\r\n', FORM, 400),
        (b'--x\r\nContent-Disposition: form-data; name="picture"\r\n\r\n1\r\n--x--\r\n', FORM, 400),
    ],
)
def test_a_body_that_is_no_query_is_a_problem(client: TestClient, body: bytes, kind: str, status: int) -> None:
    found, _ = problem(client.post("/api/search", content=body, headers={"Content-Type": kind}))

    assert found == status


def test_more_pictures_than_a_request_may_bring_are_a_problem(client: TestClient) -> None:
    files = [("picture", picture_bytes((number, 0, 0))) for number in range(5)]

    assert problem(client.post("/api/search", files=files))[0] == 400


def test_more_pictures_than_a_query_may_have_are_a_problem(client: TestClient) -> None:
    query = json.dumps({"like": ["1"] * 32})

    sent = client.post("/api/search", data={"query": query}, files={"picture": picture_bytes()})

    assert problem(sent) == (422, "like: at most 32 pictures are allowed, got 33")
    assert client.post("/api/search", json={"like": ["1"] * 32, "unlike": ["2"] * 32}).status_code == 200


def test_a_file_that_is_no_picture_is_a_problem(client: TestClient) -> None:
    assert problem(client.post("/api/search", files={"picture": b"<svg/>"})) == (
        422,
        "the picture: not a picture in a supported format",
    )


def test_a_photo_that_was_indexed_meanwhile_is_found(client: TestClient, run: Run, photos: Path) -> None:
    assert names(client.get("/api/search?q=green&k=1&rerank=false")) != ["green.png"]
    Image.new("RGB", (9, 9), (0, 200, 0)).save(photos / "green.png")

    assert run("index", photos).exit_code == 0

    assert names(client.get("/api/search?q=green&k=1&rerank=false")) == ["green.png"]


def test_a_library_that_was_made_anew_meanwhile_is_the_one_that_answers(
    client: TestClient, run: Run, photos: Path, library: Path
) -> None:
    assert len(names(client.get("/api/search?q=red"))) == 3
    shutil.rmtree(library)
    assert problem(client.get("/api/search?q=red"))[0] == 503
    (photos / "pink.png").unlink()

    assert run("index", photos).exit_code == 0

    assert names(client.get("/api/search?q=red")) == ["dark red.png", "blue again.png"]


def test_a_name_that_is_no_text_comes_through(client: TestClient, run: Run, photos: Path) -> None:
    strange = os.fsdecode(os.fsencode(photos) + b"/\xff.png")
    Path(strange).write_bytes(picture_bytes("lime"))
    assert run("index", photos).exit_code == 0

    assert client.get("/api/search?q=green&k=1&rerank=false").json()["hits"][0]["path"] == strange


def test_the_status_is_what_the_command_prints(client: TestClient, run: Run) -> None:
    assert client.get("/api/status").json() == json.loads(run("status", "--json").stdout)


def test_health_needs_no_library(client: TestClient, library: Path) -> None:
    shutil.rmtree(library)

    assert client.get("/api/health").json()["status"] == "ok"


def test_an_empty_library_finds_nothing(run: Run, make_client: object, client: TestClient, library: Path) -> None:
    shutil.rmtree(library)
    Library.create(library).close()

    assert names(client.get("/api/search?q=red")) == []
    assert names(client.post("/api/search", files={"picture": picture_bytes()})) == []


def test_an_address_that_is_not_there_is_a_problem(client: TestClient) -> None:
    assert problem(client.get("/api/nothing"))[0] == 404
    assert problem(client.delete("/api/search"))[0] == 405


def test_an_answer_says_how_much_of_the_library_is_damaged(client: TestClient, indexed: Path) -> None:
    with sqlite3.connect(indexed / "library.db") as connection:
        connection.execute("UPDATE contents SET width = width + 1 WHERE id = 1")

    answer = client.get("/api/search?q=red").json()

    assert (len(answer["hits"]), answer["damaged"]) == (2, 1)
