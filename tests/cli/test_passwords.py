"""No message shows a password from a URL, even if the URL is invalid."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.printable import without_passwords
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:se/cr@et@host/db", "postgresql://me:***@host/db"),
        ("see sftp://me:secret@host/x now", "see sftp://me:***@host/x now"),
        ("http://me@corp:secret@host/x", "http://me@corp:***@host/x"),
        ("postgresql:/me:secret@host/db", "postgresql:/me:***@host/db"),
        ("postgresql://me@h/db?password=secret&x=1", "postgresql://me@h/db?password=***&x=1"),
        ("http://host:80/a@b.jpg", "http://host:80/a@b.jpg"),
        ("s3://bucket/a:b@c.jpg", "s3://bucket/a:b@c.jpg"),
        ("/photos/2021: a@b", "/photos/2021: a@b"),
        ("https://me:12@host/x", "https://me:***@host/x"),
        ("postgresql://me:12/34@host/x", "postgresql://me:***@host/x"),
        ("postgresql://my self:pass word@host/x", "postgresql://my self:***@host/x"),
        ("s3://key:pass word@host/x", "s3://key:***@host/x"),
        ("postgresql://me:***", "postgresql://me:***"),
        ("no host in sftp://me:secret", "no host in sftp://me:***"),
        ("https://bucket/x?X-Amz-Signature=0f&n=1", "https://bucket/x?X-Amz-Signature=***&n=1"),
        ("http://0.0.0.0:7860/?token=0f", "http://0.0.0.0:7860/?token=0f"),  # serve prints this URL for its user
        ("http://host:80: refused", "http://host:80: refused"),
        ("http://[::1]:7860/", "http://[::1]:7860/"),
        ("s3://arn:aws:s3:eu:1:accesspoint/x/a.jpg", "s3://arn:aws:s3:eu:1:accesspoint/x/a.jpg"),
        ("s3://bucket: no answer (ask me@host)", "s3://bucket: no answer (ask me@host)"),
    ],
)
def test_a_password_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hun%40ter2@host/photos?password=hunter2",
        "postgresql://me:hunter2@ho:st:port/photos",
        "postgresql:/me:hunter2@host/photos",
    ],
)
def test_config_shows_no_password(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PIXSEARCH_LIBRARY", url)
    file = tmp_path / "config.toml"
    for module in ("config_file", "config_cmd"):
        monkeypatch.setattr(f"pixsearch_cli.{module}.config_path", lambda: file)
    file.write_text(f'[train]\nlibrary = "{url}"\n')

    for outcome in (run("config"), run("config", "--json")):
        assert (outcome.exit_code, "hunter2" in outcome.stdout, "ter2" in outcome.stdout) == (0, False, False)
        assert "***" in outcome.stdout


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hun/t@er2@host:port/photos",
        "postgresql://me:s3cret@hun@ter2/photos",
        "postgresql://me:hunter2",
        "postgresql:/me:hunter2@host/photos",
        "mysql://me:hunter2@host/photos",
        "postgresql://me:x@127.0.0.1:1/photos?password=hunter2",
    ],
)
def test_no_message_tells_the_password_of_a_library(run: Run, url: str) -> None:
    outcome = run("query", "red", "--library", url)

    assert outcome.exit_code in (1, 2)
    assert len(outcome.stderr.splitlines()) == 1
    assert not {part for part in ("hun", "ter2", "er2", "s3cret", "hunter2") if part in outcome.stderr}


@pytest.mark.parametrize("option", ["--image", "--folder"])
@pytest.mark.parametrize("scheme", ["https", "sftp"])
def test_no_message_tells_the_password_of_a_picture_or_a_folder(
    run: Run, indexed: Path, scheme: str, option: str
) -> None:
    if (scheme, option) == ("https", "--folder"):
        pytest.skip("a folder is never on the web")
    words = [] if option == "--image" else ["red"]

    outcome = run("query", *words, option, f"{scheme}://me:hunter2@host/photo.jpg")

    assert outcome.exit_code in (1, 2)
    assert "me:***@host/photo.jpg" in outcome.stderr
    assert "hunter2" not in outcome.stderr


@pytest.mark.parametrize(
    "url", ["s3://key:hun/ter2@bucket/x.jpg", "s3://key:hunter2@bucket", "s3://key:hunter2", "memory://k:hunter2@b/x"]
)
@pytest.mark.parametrize("command", [["query", "red", "--folder"], ["query", "--image"], ["index"], ["forget"]])
def test_no_password_goes_to_a_storage_whose_messages_would_show_it(
    run: Run, indexed: Path, url: str, command: list[str]
) -> None:
    outcome = run(*command, url)

    assert outcome.exit_code in (1, 2)
    assert len(outcome.stderr.splitlines()) == 1
    assert not {part for part in ("hunter2", "hun/", "ter2") if part in outcome.stderr}


@pytest.mark.parametrize("url", ["https://me:hunter2@host/x", "https://me:hunter2@[x", "https://me@hunter2:x@host"])
def test_an_address_with_a_user_is_not_taken_for_a_host(run: Run, indexed: Path, url: str) -> None:
    outcome = run("query", "--image", url, "--allow-network")

    assert outcome.exit_code == 2
    assert "contains a user name" in outcome.stderr
    assert ":hunter2" not in outcome.stderr


def test_wrong_usage_shows_no_password(run: Run) -> None:
    outcome = run("query", "red", "--top-k", "https://me:hunter2@host/")

    assert outcome.exit_code == 2
    assert "hunter2" not in outcome.stderr


def test_what_a_library_logs_shows_no_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        logging.getLogger("somebody").warning("no answer from %s\nat all", "https://me:hunter2@host/")
        raise ValueError("https://me:hunter2@host/")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # removes pytest's own handlers
    monkeypatch.setattr(Library, "open", fail)

    logged = run("status").stderr
    traced = run("status", "--debug").stderr

    assert logged.splitlines()[0] == r"no answer from https://me:***@host/\nat all"
    assert "Traceback" in traced
    assert "hunter2" not in logged + traced
