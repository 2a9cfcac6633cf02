"""`/api/timeline` and `/api/values` without a browser."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.cli.conftest import Run
from tests.photos import make_photo


@pytest.fixture
def dated(photos: Path, run: Run, indexed: Path) -> Path:
    """The photos without a date, and three more named after their dates: two in 2021 and one in 2019."""
    for number, name in enumerate(("IMG_20210315_120000", "IMG_20210315_090000", "IMG_20190501_090000")):
        make_photo(photos / "dated" / f"{name}.png", (10 + number, 20, 30), (30, 20))
    assert run("index", photos).exit_code == 0
    return photos


def ids(client: TestClient) -> dict[str, int]:
    """Return the ids of the photos by name."""
    return {Path(one["path"]).name: one["id"] for one in client.get("/api/timeline/photos").json()["photos"]}


def test_the_timeline_counts_the_pictures_of_days_and_of_folders(client: TestClient, dated: Path) -> None:
    by_name = ids(client)

    assert client.get("/api/timeline").json() == {
        "days": [
            {"day": "2021-03-15", "id": by_name["IMG_20210315_120000.png"], "count": 2},
            {"day": "2019-05-01", "id": by_name["IMG_20190501_090000.png"], "count": 1},
        ],
        "undated": [{"folder": str(dated), "id": min(by_name[n] for n in by_name if "IMG" not in n), "count": 3}],
        "damaged": 0,
    }


def test_photos_come_from_any_one_on(client: TestClient, dated: Path) -> None:
    start = ids(client)["IMG_20210315_090000.png"]
    answer = client.get(f"/api/timeline/photos?start={start}&k=2").json()["photos"]

    assert answer[0] == {
        "id": start,
        "day": "2021-03-15",
        "folder": None,
        "path": str(dated / "dated" / "IMG_20210315_090000.png"),
        "copies": [],
        "title": None,
        "caption": None,
        "taken_at": "2021-03-15T09:00:00",
        "width": 30,
        "height": 20,
    }
    assert [Path(one["path"]).name for one in answer] == ["IMG_20210315_090000.png", "IMG_20190501_090000.png"]


def test_filters_are_those_of_a_search(client: TestClient, dated: Path) -> None:
    assert client.get("/api/timeline?after=2020").json()["days"][0]["count"] == 2
    assert client.get("/api/timeline?after=2020").json()["undated"] == []
    assert len(client.get("/api/timeline/photos?after=2020").json()["photos"]) == 2


@pytest.mark.parametrize(
    ("address", "status", "detail"),
    [
        ("/api/timeline?folder=/nowhere", 404, "no photos in /nowhere"),
        ("/api/timeline/photos?start=999", 404, "the library has no picture 999"),
        ("/api/timeline/photos?start=0", 422, "query.start: Input should be greater than or equal to 1"),
        ("/api/timeline/photos?k=1001", 422, "query.k: Input should be less than or equal to 1000"),
        ("/api/timeline?q=red", 422, "query: unknown field 'q'"),
        ("/api/timeline?after=soon", 400, "'soon' is not a date. Write 2021, 2021-03, 2021-03-15 or 2021-03-15T18:30"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(
    client: TestClient, dated: Path, address: str, status: int, detail: str
) -> None:
    answer = client.get(address)

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_a_picture_whose_record_is_damaged_keeps_its_place(client: TestClient, dated: Path, indexed: Path) -> None:
    start = ids(client)["IMG_20210315_090000.png"]
    with sqlite3.connect(indexed / "library.db") as database:
        database.execute("UPDATE contents SET width = width + 1 WHERE id = ?", [start])
    database.close()

    photos = client.get("/api/timeline/photos").json()["photos"]
    assert (photos[1]["id"], photos[1]["day"], photos[1]["path"]) == (start, "2021-03-15", None)
    assert client.get("/api/timeline").json()["damaged"] == 1


def test_the_values_that_photos_have_are_counted(client: TestClient, dated: Path) -> None:
    answer = client.get("/api/values").json()

    assert answer["year"] == [{"value": "2021", "count": 2}, {"value": "2019", "count": 1}]
    assert answer["folder"] == [{"value": str(dated), "count": 7}, {"value": str(dated / "dated"), "count": 3}]
    assert answer["person"] == answer["place"] == answer["keyword"] == answer["camera"] == []


def test_places_are_counted_by_their_parts(client: TestClient, dated: Path, indexed: Path, run: Run) -> None:
    for name in ("IMG_20210315_120000", "IMG_20190501_090000"):
        (dated / "dated" / f"{name}.xmp").write_text(
            """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
            <rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Lyon"
            photoshop:Country="France"/></rdf:RDF></x:xmpmeta>"""
        )
    assert run("index", dated).exit_code == 0

    assert client.get("/api/values").json()["place"] == [
        {"value": "France", "count": 2},
        {"value": "Lyon", "count": 2},
    ]
