"""The manifest, with which a phone can put the page on its home screen."""

from __future__ import annotations

import io
import json
import re

import pytest
from PIL import Image
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from pixsearch_cli.web.access import access_at
from tests.cli.web.conftest import NEEDS_CHROMIUM, MakeClient, Serve

TOKEN = "a token of this test"
PHOTOS = access_at("127.0.0.1", TOKEN, root_path="/photos")
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_the_manifest_names_the_page_and_icons_of_the_sizes_that_it_says(client: TestClient) -> None:
    answer = client.get("/manifest.webmanifest")
    manifest = answer.json()

    assert answer.headers["content-type"].startswith("application/manifest+json")
    assert (manifest["name"], manifest["display"], manifest["start_url"], manifest["scope"]) == (
        "pixsearch",
        "standalone",
        "/",
        "/",
    )
    found = []
    for icon in manifest["icons"]:
        image = client.get(icon["src"])
        assert image.headers["content-type"] == icon["type"]
        if icon["type"] == "image/png":
            width, height = Image.open(io.BytesIO(image.content)).size
            assert icon["sizes"] == f"{width}x{height}"
            assert len(image.content) < 10_000
            found.append((width, icon["purpose"]))
    assert sorted(found) == [(192, "any"), (192, "maskable"), (512, "any"), (512, "maskable")]


def test_an_icon_that_a_phone_cuts_to_its_own_shape_has_no_clear_corner(client: TestClient) -> None:
    for name in ("icon-maskable-192.png", "icon-maskable-512.png", "apple-touch-icon.png"):
        image = Image.open(io.BytesIO(client.get(f"/static/{name}").content)).convert("RGBA")

        assert image.getpixel((0, 0)) == image.getpixel((image.width - 1, image.height - 1)) == (0x2F, 0x6F, 0xDE, 255)


def test_all_of_it_is_under_the_root_path(make_client: MakeClient) -> None:
    manifest = make_client(PHOTOS).get("/photos/manifest.webmanifest", headers=BEARER).json()

    assert manifest["id"] == manifest["start_url"] == manifest["scope"] == "/photos/"
    assert all(icon["src"].startswith("/photos/static/") for icon in manifest["icons"])


def test_the_manifest_is_behind_the_token_and_the_page_that_asks_for_it_does_not_name_it(
    make_client: MakeClient,
) -> None:
    client = make_client(PHOTOS)
    html = {"Accept": "text/html"}

    assert client.get("/photos/manifest.webmanifest").status_code == 401
    assert "manifest.webmanifest" not in client.get("/photos/", headers=html).text
    page = client.get("/photos/", headers=html | BEARER)
    links = re.findall('<link rel="manifest"[^>]*>', page.text)
    assert links == ['<link rel="manifest" href="/photos/manifest.webmanifest" crossorigin="use-credentials">']
    assert "manifest-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("root", ["", "/photos"])
def test_chromium_gets_it_with_the_cookie_and_finds_nothing_wrong(browser: Browser, serve: Serve, root: str) -> None:
    address = serve(access_at("127.0.0.1", TOKEN, root_path=root))
    page = browser.new_page()
    page.goto(f"{address}{root}/?token={TOKEN}")
    devtools = page.context.new_cdp_session(page)

    found = devtools.send("Page.getAppManifest")

    assert found["errors"] == []
    assert found["url"] == f"{address}{root}/manifest.webmanifest"
    assert json.loads(found["data"])["start_url"] == f"{root}/"
    # Each test's window is private, and Chromium stores nothing in private windows.
    errors = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors] == ["in-incognito"]
    page.context.close()
