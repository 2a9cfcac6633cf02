"""The server behind nginx with TLS, configured with the lines in the guide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import FilePayload, expect, sync_playwright

from pixsearch_cli.web.access import access_at
from tests.cli.web import nginx
from tests.cli.web.conftest import CHROMIUM, NEEDS_CHROMIUM, Serve
from tests.cli.web.test_page import names
from tests.photos import picture_bytes

TOKEN = "a token of this test"

pytestmark = pytest.mark.skipif(nginx.NGINX is None, reason="there is no nginx on this machine")

Proxied = Callable[..., httpx2.Client]


def at_root(lines: str) -> str:
    return lines.replace("/photos/ {", "/ {")


def path_taken_off(lines: str) -> str:
    return lines.replace("proxy_pass http://127.0.0.1:7860;", "proxy_pass http://127.0.0.1:7860/;")


def without(header: str) -> Callable[[str], str]:
    return lambda lines: "\n".join(line for line in lines.split("\n") if header not in line)


def as_in_the_guide(lines: str) -> str:
    return lines


@pytest.fixture
def proxied(serve: Serve, tmp_path: Path) -> Iterator[Proxied]:
    """Put nginx in front of a server, and return a client that has the token and uses the server's path."""
    with ExitStack() as stack:

        def start(change: Callable[[str], str] = as_in_the_guide, has_token: bool = True) -> httpx2.Client:
            lines = change(nginx.guides_lines())
            root = "/photos" if "location /photos/" in lines else None
            upstream = serve(access_at("127.0.0.1", TOKEN, root_path=root, allowed_hosts=[nginx.NAME]))
            port = stack.enter_context(nginx.nginx(tmp_path / "nginx", lines, upstream))
            client = httpx2.Client(
                base_url=f"https://localhost:{port}{root or ''}",
                verify=nginx.trusting(tmp_path / "nginx"),
                headers={"Host": f"{nginx.NAME}:{port}", "Origin": f"https://{nginx.NAME}:{port}"},
            )
            if has_token:
                client.headers["Authorization"] = f"Bearer {TOKEN}"
            return stack.enter_context(client)

        yield start


@pytest.mark.parametrize("change", [as_in_the_guide, at_root, path_taken_off, without("Host"), without("Forwarded")])
def test_all_of_it_works_through_nginx(proxied: Proxied, change: Callable[[str], str]) -> None:
    client = proxied(change)
    root = client.base_url.path.rstrip("/")

    assert f'src="{root}/static/app.js"' in client.get("/").text
    assert client.get("/library").status_code == 200
    assert client.get("/static/app.js").headers["content-type"].startswith("text/javascript")
    hits = client.get("/api/search?q=red").json()["hits"]
    assert [Path(hit["path"]).name for hit in hits] == ["pink.png", "dark red.png", "blue again.png"]
    id = hits[0]["id"]
    assert client.get(f"/api/photos/{id}/thumbnail").headers["content-type"] == "image/jpeg"
    whole = client.get(f"/api/photos/{id}/image").content
    part = client.get(f"/api/photos/{id}/image", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, whole[1:4])
    sent = client.post("/api/search", files={"picture": picture_bytes((90, 0, 0))})
    assert Path(sent.json()["hits"][0]["path"]).name == "dark red.png"
    assert client.get(f"/api/uploads/{sent.json()['uploads'][0]}").headers["content-type"] == "image/png"


def test_a_picture_of_a_phone_passes_nginx(proxied: Proxied) -> None:
    large = picture_bytes("red") + bytes(12 << 20)  # nginx accepts 1 MB by default

    assert proxied().post("/api/search", files={"picture": large}).status_code == 200


def test_the_document_of_the_api_names_the_path(proxied: Proxied) -> None:
    assert proxied().get("/api/openapi.json").json()["servers"] == [{"url": "/photos"}]


@pytest.mark.parametrize(
    ("change", "path"), [(as_in_the_guide, "/photos"), (path_taken_off, "/photos"), (at_root, "/")]
)
def test_the_token_of_the_address_becomes_a_cookie_of_that_path_over_https_alone(
    proxied: Proxied, change: Callable[[str], str], path: str
) -> None:
    client = proxied(change, has_token=False)

    answer = client.get("/library", params={"token": TOKEN})

    assert (answer.status_code, answer.headers["location"]) == (303, f"{client.base_url.path.rstrip('/')}/library")
    name, *attributes = answer.headers["set-cookie"].lower().split("; ")
    assert name.startswith("pixsearch_token=")
    assert {f"path={path}", "secure", "httponly", "samesite=lax"} <= set(attributes)
    assert client.get("/api/search?q=red").status_code == 200


def test_another_name_is_not_answered_also_through_nginx(proxied: Proxied) -> None:
    assert proxied().get("/api/health", headers={"Host": "evil.example"}).status_code == 421


def test_another_site_s_page_may_not_post_also_through_nginx(proxied: Proxied) -> None:
    headers = {"Origin": "https://evil.example"}

    assert proxied().post("/api/search", json={"q": "red"}, headers=headers).status_code == 403


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("change", [as_in_the_guide, at_root])
def test_a_phone_searches_behind_nginx(proxied: Proxied, change: Callable[[str], str]) -> None:
    url = proxied(change).base_url
    address = f"https://{nginx.NAME}:{url.port}{url.path.rstrip('/')}"
    errors: list[str] = []
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {nginx.NAME} 127.0.0.1"
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        page = chromium.new_context(ignore_https_errors=True, viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: errors.append(str(error)))

        page.goto(f"{address}/?q=red")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        by_words = names(page)
        expect(page).to_have_url(f"{address}/?q=red")
        expect(page.locator("#results img").first).to_have_js_property("naturalWidth", 20)
        page.locator("#results button").first.click()
        expect(page.locator("#viewer img")).to_have_js_property("complete", True)
        original = re.compile(rf"^{url.path.rstrip('/')}/api/photos/\d+/image$")
        expect(page.get_by_role("link", name="Original")).to_have_attribute("href", original)
        page.get_by_role("button", name="Close").click()
        picture = FilePayload(name="a.png", mimeType="image/png", buffer=picture_bytes((90, 0, 0)))
        page.locator("#file").set_input_files(picture)
        page.wait_for_url("**/?like=*")
        by_picture = names(page)
        expect(page.locator("#chips img")).to_have_js_property("naturalWidth", 8)
        page.go_back()
        page.wait_for_url("**/?q=red")
        again = names(page)
        page.get_by_role("link", name="Library").click()
        expect(page).to_have_url(f"{address}/library")
        page.get_by_role("link", name="Photos", exact=True).click()
        expect(page).to_have_url(f"{address}/")
        chromium.close()

    assert by_words == again == ["pink.png", "dark red.png", "blue again.png"]
    assert by_picture[0] == "dark red.png"
    assert errors == []
