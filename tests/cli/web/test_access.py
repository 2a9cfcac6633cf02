from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from pixsearch_cli.web.access import Access, access_at
from tests.cli.web.conftest import OURS, MakeClient
from tests.cli.web.test_search_api import problem

TOKEN = "a token of this test"
ANYWHERE = Access(frozenset({"localhost", "photos.example"}), any_address=True, token=TOKEN)


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:1", "LOCALHOST", "[::1]:7860"])
def test_this_machine_s_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.168.0.7:7860", "", "127.0.0.1.", "["])
def test_a_name_that_was_rebound_to_this_machine_is_not_answered(client: TestClient, host: str) -> None:
    assert problem(client.get("/api/health", headers={"Host": host}))[0] == 421


@pytest.mark.parametrize("host", ["192.168.0.7:7860", "[fe80::1]:7860", "photos.example"])
def test_a_server_of_the_network_answers_to_addresses_and_its_name(make_client: MakeClient, host: str) -> None:
    client = make_client(ANYWHERE)

    assert client.get("/api/health", headers={"Host": host}).status_code == 200
    assert client.get("/api/health", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_s_page_may_not_post(client: TestClient, headers: dict[str, str]) -> None:
    assert problem(client.post("/api/search", json={"q": "red"}, headers=headers))[0] == 403


def test_the_page_itself_and_other_programs_may_post(client: TestClient) -> None:
    own = {"Origin": OURS, "Sec-Fetch-Site": "same-origin"}

    assert client.post("/api/search", json={"q": "red"}, headers=own).status_code == 200
    assert client.post("/api/search", json={"q": "red"}).status_code == 200


def test_another_site_s_page_may_link_here_but_not_embed_a_photo(client: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}

    assert client.get("/?q=red", headers=link).status_code == 200
    assert problem(client.get("/api/photos/1/image", headers=embedded))[0] == 403


def test_this_machine_alone_needs_no_token_and_any_other_does() -> None:
    assert access_at("127.0.0.1", None).token is None
    assert access_at("localhost", None).token is None
    assert access_at("127.0.0.1", TOKEN).token == TOKEN
    made = {access_at("0.0.0.0", None).token for _ in range(3)}
    assert len(made) == 3
    assert all(token is not None and len(token) >= 32 for token in made)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer another"},
        {"Authorization": f"Bearer {TOKEN} "[:-3]},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "pixsearch_token=another"},
        {"Cookie": "pixsearch_token="},
    ],
)
def test_without_the_token_nothing_is_told(make_client: MakeClient, headers: dict[str, str]) -> None:
    client = make_client(ANYWHERE)

    for address in ("/", "/library", "/api/status", "/api/search?q=red", "/static/app.js", "/api/openapi.json"):
        assert problem(client.get(address, headers=headers))[0] == 401


def test_the_token_is_taken_as_a_bearer_s(make_client: MakeClient) -> None:
    client = make_client(ANYWHERE)

    assert client.get("/api/search?q=red", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(make_client: MakeClient) -> None:
    client = make_client(ANYWHERE)

    first = client.get("/", params={"q": "red", "token": TOKEN}, follow_redirects=False)

    assert (first.status_code, first.headers["location"]) == (303, "/?q=red")
    assert "httponly" in first.headers["set-cookie"].lower()
    assert client.get("/api/search?q=red").status_code == 200


def test_whether_the_server_is_there_is_told_without_a_token(make_client: MakeClient) -> None:
    assert make_client(ANYWHERE).get("/api/health").status_code == 200


@pytest.mark.parametrize(
    "address", ["/", "/library", "/api/status", "/api/nothing", "/static/app.js", "/api/search?q=red&k=0"]
)
def test_every_answer_tells_browsers_to_be_careful(client: TestClient, address: str) -> None:
    headers = client.get(address).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy  # nothing is loaded from elsewhere
    assert "access-control-allow-origin" not in headers
