from __future__ import annotations

import re

import httpx2
import pytest
from starlette.testclient import TestClient

from pixsearch.errors import UsageError
from pixsearch_cli.web.access import Access, access_at
from pixsearch_cli.web.proxies import Proxies, proxies_at
from tests.cli.web.conftest import OURS, MakeClient, Serve
from tests.cli.web.test_search_api import problem

TOKEN = "a token of this test"
ANYWHERE = Access(frozenset({"localhost", "photos.example"}), any_address=True, token=TOKEN)


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:1", "LOCALHOST", "[::1]:7860"])
def test_this_machine_s_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "192.168.0.7:7860",
        "",
        "127.0.0.1.",
        "[",
        "localhost:1@evil.example",
        "[::1]evil.example",
    ],
)
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
        {"Origin": "//localhost:7860"},
        {"Origin": "http://localhost:7860/elsewhere"},
        {"Origin": "http://["},
        {"Origin": "http://[elsewhere]"},
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

    for address in (
        "/",
        "/library",
        "/nothing",
        "/api/status",
        "/api/search?q=red",
        "/static/app.js",
        "/api/openapi.json",
    ):
        assert problem(client.get(address, headers=headers))[0] == 401


def test_the_token_is_taken_as_a_bearer_s(make_client: MakeClient) -> None:
    client = make_client(ANYWHERE)

    assert client.get("/api/search?q=red", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_token_in_any_language_is_taken_as_a_bearer_s(make_client: MakeClient) -> None:
    token = "ein Schlüssel für Fotos"
    client = make_client(Access(frozenset({"localhost"}), any_address=True, token=token))

    assert client.get("/api/status", headers={b"Authorization": f"Bearer {token}".encode()}).status_code == 200


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


PHOTOS = access_at("127.0.0.1", TOKEN, root_path="/photos", allowed_hosts=["photos.example"])
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("host", ["photos.example", "Photos.Example:8443", "localhost:7860"])
def test_an_allowed_name_is_answered_and_no_address(make_client: MakeClient, host: str) -> None:
    client = make_client(PHOTOS)

    assert client.get("/photos/api/health", headers={"Host": host}).status_code == 200
    for other in ("192.168.0.7", "evil.photos.example", "photos.example.evil.example"):
        assert client.get("/photos/api/health", headers={"Host": other}).status_code == 421


@pytest.mark.parametrize("host", ["photos.example", "photos.example:8443", "localhost:7860"])
def test_a_page_of_an_allowed_name_may_post_whatever_host_the_proxy_gives(make_client: MakeClient, host: str) -> None:
    client = make_client(PHOTOS)
    headers = BEARER | {"Host": host, "Origin": "https://photos.example:8443", "Sec-Fetch-Site": "same-origin"}

    assert client.post("/photos/api/search", json={"q": "red"}, headers=headers).status_code == 200
    for others in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
        assert client.post("/photos/api/search", json={"q": "red"}, headers=headers | others).status_code == 403


def test_who_may_be_reached_by_a_proxy_asks_for_a_token_also_on_this_machine() -> None:
    assert access_at("127.0.0.1", None, root_path="/photos").token is not None
    assert access_at("127.0.0.1", None, root_path="/").token is not None
    assert access_at("127.0.0.1", None, allowed_hosts=["photos.example"]).token is not None
    assert access_at("127.0.0.1", None, root_path="/photos", asks_for_token=False).token is None
    assert access_at("0.0.0.0", None, allowed_hosts=["photos.example"], asks_for_token=False).token is None


def test_the_whole_network_is_not_let_in_without_a_token() -> None:
    with pytest.raises(UsageError, match="exposes the photos to the whole network"):
        access_at("0.0.0.0", None, asks_for_token=False)


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "http://localhost:1\x00"])
def test_an_origin_that_is_none_is_another_site_s(origin: str) -> None:
    assert not access_at("127.0.0.1", None).is_our_page(origin, "localhost:7860")


@pytest.mark.parametrize(
    ("given", "used"), [("/photos", "/photos"), ("photos/", "/photos"), ("/a/b-c/", "/a/b-c"), ("/", ""), ("", "")]
)
def test_a_root_path_is_taken_with_and_without_slashes(given: str, used: str) -> None:
    assert access_at("127.0.0.1", None, root_path=given).root_path == used


@pytest.mark.parametrize(
    "given",
    [
        "/a b",
        "/..",
        "/a//b",
        "/a/../b",
        "//evil.example/a?b",
        "/a#b",
        "/é",
        "/api",
        "/static/x",
        "/folders",
        "/duplicates",
    ],
)
def test_what_is_no_root_path_is_wrong_usage(given: str) -> None:
    with pytest.raises(UsageError, match="--root-path"):
        access_at("127.0.0.1", None, root_path=given)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("Photos.Example", "photos.example"),
        ("[fe80::1]", "[fe80::1]:7860"),
    ],
)
def test_a_name_is_allowed_as_people_write_it(given: str, host: str) -> None:
    assert access_at("127.0.0.1", None, allowed_hosts=[given]).is_our_name(host)


@pytest.mark.parametrize(
    "given", ["", "*", "*.example", "https://photos.example", "photos.example:8443", "a b", "x" * 70]
)
def test_what_is_no_name_is_wrong_usage(given: str) -> None:
    with pytest.raises(UsageError, match="--allow-host"):
        access_at("127.0.0.1", None, allowed_hosts=[given])


@pytest.mark.parametrize("taken_off", [False, True])
def test_every_address_is_under_the_root_path_whether_or_not_the_proxy_takes_it_off(
    make_client: MakeClient, taken_off: bool
) -> None:
    client = make_client(PHOTOS)
    client.headers.update(BEARER | {"Accept": "text/html"})
    at = "" if taken_off else "/photos"

    for address in ("/", "/library", "/nothing", "/static/nothing"):
        page = client.get(f"{at}{address}").text
        assert 'href="/photos/static/style.css"' in page
        assert 'href="/"' not in page
        assert 'href="/static' not in page
    assert client.get(f"{at}/api/openapi.json").json()["servers"] == [{"url": "/photos"}]
    assert client.get("/photos").status_code == 200
    assert client.get("/photosx/api/health").status_code == 404
    assert client.get("/photos/photos/api/health").status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example", "//evil.example/", "/photos//evil.example/", "/%5Cevil.example", "/%09/evil.example"),
        *("/photos/%2F%2Fevil.example", "/photos/%2e%2e//evil.example", "/photos/%5C%5Cevil.example"),
        "/photos/..//evil.example",
    ],
)
@pytest.mark.parametrize("root", ["/photos", "/"])
def test_the_token_leads_to_no_other_server(serve: Serve, address: str, root: str) -> None:
    server = serve(access_at("127.0.0.1", TOKEN, root_path=root))

    answer = httpx2.get(f"{server}{address}?token={TOKEN}", follow_redirects=False)

    assert answer.status_code == 303
    assert "set-cookie" in answer.headers
    here = httpx2.URL("https://photos.example/")
    assert here.join(answer.headers["location"]).host == here.host
    assert "\\" not in answer.headers["location"]  # browsers treat it as a slash
    assert answer.headers["location"].startswith("/photos/" if root == "/photos" else "/")


def test_a_browser_without_the_token_is_asked_for_it_and_comes_where_it_wanted(make_client: MakeClient) -> None:
    client = make_client(PHOTOS)
    client.headers.update({"Accept": "text/html,*/*", "Origin": OURS})

    asked = client.get("/photos/?q=red")
    assert asked.status_code == 401
    assert '<input name="token"' in asked.text
    assert re.findall("<script.*", asked.text) == ['<script src="/photos/static/theme.js"></script>']
    for part in ("style.css", "theme.js", "icon.svg"):
        assert client.get(f"/photos/static/{part}").status_code == 200
    wrong = client.post("/photos/?q=red", data={"token": "not this"})
    assert wrong.status_code == 401
    assert "Wrong access token." in wrong.text
    right = client.post("/photos/?q=red", data={"token": TOKEN}, follow_redirects=False)
    assert (right.status_code, right.headers["location"]) == (303, "/photos/?q=red")
    assert client.get("/photos/?q=red").status_code == 200


def test_another_site_cannot_make_a_browser_send_a_token(make_client: MakeClient) -> None:
    headers = {"Origin": "https://evil.example"}

    answer = make_client(PHOTOS).post("/photos/", data={"token": TOKEN}, headers=headers)

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("order", [1, -1])
def test_the_cookie_of_a_server_at_another_path_of_this_host_shuts_nobody_out(
    make_client: MakeClient, order: int
) -> None:
    client = make_client(PHOTOS)
    let_in = client.get("/photos/", params={"token": TOKEN}, follow_redirects=False)
    ours = let_in.headers["set-cookie"].partition(";")[0]
    client.cookies.clear()
    cookies = "; ".join(["pixsearch_token=another", ours][::order])

    assert client.get("/photos/api/status", headers={"Cookie": cookies}).status_code == 200


@pytest.mark.parametrize("token", ['a token; of "odd" = signs', "ein Schlüssel, kein Wort"])
def test_a_token_of_any_signs_is_kept_by_browsers(make_client: MakeClient, token: str) -> None:
    client = make_client(access_at("127.0.0.1", token))

    assert client.get("/", params={"token": token}, follow_redirects=False).status_code == 303
    assert client.get("/api/status").status_code == 200


def test_a_page_that_is_not_there_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get("/api/photos/999/image", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert '<p role="alert">The library has no picture 999.</p>' in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


NOBODY = Proxies(())
PROXIES = proxies_at(["10.0.0.5", "192.168.7.0/24", "2001:db8::/64"])


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.5", "::ffff:192.168.7.9", "2001:db8::77"]
)
def test_this_machine_and_who_was_named_is_a_proxy(peer: str) -> None:
    assert peer in PROXIES


@pytest.mark.parametrize("peer", ["10.0.0.6", "192.168.8.1", "2001:db9::1", "", "unix:", "localhost", "*"])
def test_nobody_else_is_a_proxy(peer: str) -> None:
    assert peer not in PROXIES


@pytest.mark.parametrize("given", ["*", "proxy", "10.0.0.5/24", "", "10.0.0.5,10.0.0.6"])
def test_what_is_no_address_of_a_proxy_is_wrong_usage(given: str) -> None:
    with pytest.raises(UsageError, match="--trust-proxy"):
        proxies_at([given])


def is_believed(address: str) -> bool:
    """Return whether a request that claims to have come over HTTPS gets the cookie meant for HTTPS."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}
    answer = httpx2.get(f"{address}/photos/?token={TOKEN}", headers=headers, follow_redirects=False)
    return "secure" in answer.headers["set-cookie"].lower()


def test_what_a_proxy_forwards_is_believed_of_nobody_else(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    assert is_believed(serve(PHOTOS))
    assert not is_believed(serve(PHOTOS, NOBODY))
