"""Fetches the description and the files of a model from the Hugging Face Hub. Only `pixsearch model get` uses this.

The package huggingface_hub is not used, because it would send any token that it finds in the user's home directory and
keep downloads in its own cache. HF_ENDPOINT and HF_TOKEN have the same meaning as in huggingface_hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx2

from pixsearch import __version__
from pixsearch.errors import HubError, UsageError, first_line
from pixsearch.model.checkpoints import HUB, hub_folder
from pixsearch.regular_files import MODEL_LIMIT_BYTES, TEXT_LIMIT_BYTES

WEIGHTS_FILE = "model.safetensors"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_SHARDS_INDEX = "model.safetensors.index.json"
_SMALL_FILES = {
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_ANSWER_LIMIT_BYTES = 16 << 20
_CONNECT_S, _READ_S = 10, 30


class Unreachable(HubError):
    """The Hub or the network failed. The same request may succeed later."""


@dataclass(frozen=True)
class HubFile:
    """A file in a repository, with its size and checksum as reported by the Hub."""

    name: str
    size_bytes: int
    algorithm: str
    """sha256 for files in Git LFS, and git (the SHA-1 of a git blob) for all others."""
    checksum: str

    def hasher(self) -> hashlib._Hash:
        """Return a hash object whose digest equals `checksum` after it is updated with the whole file."""
        if self.algorithm == "sha256":
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)


@dataclass(frozen=True)
class Repository:
    """A model on the Hub at one revision, with the files that pixsearch downloads."""

    name: str
    """The name, as in hub:organisation/model."""
    commit: str
    licence: str | None
    languages: tuple[str, ...]
    """The languages listed on the model card."""
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def file(self, name: str) -> HubFile | None:
        return next((file for file in self.files if file.name == name), None)


def hub_name(name: str) -> str:
    """Return a name with the prefix hub: added if it is missing. Raises UsageError if the name is not valid."""
    name = name if name.startswith(HUB) else f"{HUB}{name}"
    hub_folder(name)
    return name


class Hub:
    """A connection to the Hub."""

    def __init__(self) -> None:
        """Create a client for HF_ENDPOINT, by default the public Hub, with the token in HF_TOKEN, if any.

        Raises UsageError if these settings are not valid.
        """
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        if not self.endpoint.startswith(("https://", "http://")):
            raise UsageError(
                f"HF_ENDPOINT must be an http or https URL, got {self.endpoint}", "Correct or unset HF_ENDPOINT"
            )
        headers = {"User-Agent": f"pixsearch/{__version__}", "Accept-Encoding": "identity"}
        self._has_token = bool(token := os.environ.get("HF_TOKEN", "").strip())
        if self._has_token:  # httpx2 removes it from a request that is redirected to a different host
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._client = httpx2.Client(
                headers=headers, follow_redirects=True, timeout=httpx2.Timeout(_READ_S, connect=_CONNECT_S)
            )
        except (ValueError, httpx2.InvalidURL) as error:  # the token has invalid characters, or a proxy is not a URL
            raise UsageError(
                f"HF_TOKEN or the proxy settings are not valid ({error})", "Correct these environment variables"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def repository(self, name: str, revision: str | None = None) -> Repository:
        """Fetch the description of a model at a branch, tag or commit, by default the latest commit.

        Raises:
            HubError: the model does not exist, needs a token or has no weights in safetensors, or the response is
                not valid.
            Unreachable: the network failed, or the Hub is currently unavailable.
            UsageError: the name is not valid.
        """
        name = hub_name(name)
        path = f"/api/models/{name.removeprefix(HUB)}"
        if revision is not None:
            path += f"/revision/{quote(revision, safe='')}"
        with self._get(f"{path}?blobs=true", name, revision) as response:
            body = _read(response, _ANSWER_LIMIT_BYTES, f"the description of {name}")
        try:
            return _repository(name, json.loads(body))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise HubError(f"{self.endpoint} sent an invalid description of {name}", "Check HF_ENDPOINT") from error

    def read(self, repository: Repository, file: HubFile) -> bytes:
        """Return the content of a small file after verifying its checksum. Raises HubError, Unreachable."""
        with self.opened(repository, file) as (_, parts):
            data = b"".join(parts)
        hasher = file.hasher()
        hasher.update(data)
        if hasher.hexdigest() != file.checksum:
            raise wrong_checksum(repository, file)
        return data

    @contextmanager
    def opened(self, repository: Repository, file: HubFile, start: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open a file at a byte offset. Raises HubError, Unreachable.

        Yield the actual offset, which is 0 if the server does not support ranges, and an iterator over the data from
        there. The iterator raises HubError if the server sends more bytes than the file has.
        """
        path = f"/{repository.name.removeprefix(HUB)}/resolve/{repository.commit}/{file.name}"
        with self._get(path, repository.name, headers={"Range": f"bytes={start}-"} if start else {}) as response:
            begins = start if response.status_code == httpx2.codes.PARTIAL_CONTENT else 0
            if begins and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise HubError(f"{self.endpoint} sent the wrong part of {file.name}", "Run the command again later")
            yield begins, _parts(response, file.size_bytes - begins, file.name)

    @contextmanager
    def _get(
        self, path: str, name: str, revision: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        try:
            with self._client.stream("GET", self.endpoint + path, headers=headers) as response:
                if not response.is_success:
                    raise self._refusal(response, name, revision)
                yield response
        except httpx2.TransportError as error:
            raise Unreachable(
                f"{self.endpoint} cannot be reached ({first_line(error)})",
                "Check the network, then run the command again",
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise HubError(
                f"{self.endpoint} does not respond like the Hugging Face Hub ({first_line(error)})", "Check HF_ENDPOINT"
            ) from error

    def _refusal(self, response: httpx2.Response, name: str, revision: str | None) -> HubError:
        status, code = response.status_code, response.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{name.removeprefix(HUB)}"
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            wait = response.headers.get("Retry-After", "")
            after = f"in {wait} seconds" if wait.isascii() and wait.isdecimal() else "in a few minutes"
            return Unreachable(f"{self.endpoint} received too many requests", f"Run the command again {after}")
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            return Unreachable(
                f"{self.endpoint} is currently unavailable (HTTP {status})", "Run the command again later"
            )
        if code == "GatedRepo":
            return HubError(
                f"{name} is gated: its authors require you to accept their conditions",
                f"Accept them at {page}, and set HF_TOKEN to your access token",
            )
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN) and self._has_token:
            return HubError(f"{self.endpoint} rejected the token in HF_TOKEN for {name}", "Correct or unset HF_TOKEN")
        if code == "RevisionNotFound" or (status == httpx2.codes.NOT_FOUND and revision and code != "RepoNotFound"):
            return HubError(f"{name} has no revision {revision}", "Omit --revision to use the latest")
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN, httpx2.codes.NOT_FOUND):
            return HubError(
                f"{self.endpoint} has no public model {name}", "Check the name. If the model is private, set HF_TOKEN"
            )
        return HubError(
            f"{self.endpoint} refused to send {name} (HTTP {status})", "Check whether the model still exists"
        )


def wrong_checksum(repository: Repository, file: HubFile) -> HubError:
    """Return the error for a file that does not match its checksum on the Hub."""
    return HubError(
        f"{file.name} from {repository.name} did not match its checksum and was discarded",
        "Run the command again",
    )


def _repository(name: str, answer: Any) -> Repository:
    """Parse a model description. Raises HubError if pixsearch cannot use the model.

    Raises ValueError, TypeError or KeyError if the description is not valid.
    """
    commit = answer["sha"]
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise ValueError("no commit")
    listed = {one["rfilename"]: one for one in answer["siblings"]}
    chosen = sorted(_SMALL_FILES & listed.keys())
    if WEIGHTS_FILE in listed:
        chosen.append(WEIGHTS_FILE)
    elif _SHARDS_INDEX in listed and (shards := sorted(filter(_SHARD.fullmatch, listed))):
        chosen += [_SHARDS_INDEX, *shards]
    else:
        pickle = next((file for file in sorted(listed) if "/" not in file and file.endswith(_PICKLES)), None)
        found = f"only {pickle}, a pickle, which can run code" if pickle else f"there is no {WEIGHTS_FILE}"
        raise HubError(f"{name} has no weights in safetensors: {found}", "Choose a different model")
    if "config.json" not in chosen:
        raise HubError(f"{name} has no config.json, so transformers cannot load it", "Choose a different model")
    card = answer.get("cardData")
    card = card if isinstance(card, dict) else {}
    return Repository(name, commit, _licence(card), _languages(card), tuple(_file(name, listed[one]) for one in chosen))


def _file(repository: str, listed: Any) -> HubFile:
    name, lfs = listed["rfilename"], listed.get("lfs")
    if isinstance(lfs, dict):
        size_bytes, algorithm, checksum, digits = lfs["size"], "sha256", lfs["sha256"], 64
    else:
        size_bytes, algorithm, checksum, digits = listed["size"], "git", listed["blobId"], 40
    if type(size_bytes) is not int or size_bytes < 0 or not re.fullmatch(f"[0-9a-f]{{{digits}}}", checksum):
        raise ValueError("no size or checksum")
    limit = MODEL_LIMIT_BYTES if name.endswith(".safetensors") else TEXT_LIMIT_BYTES
    if size_bytes > limit:
        raise HubError(
            f"{name} from {repository} is too large for pixsearch ({size_bytes:,} bytes)", "Choose a different model"
        )
    return HubFile(name, size_bytes, algorithm, checksum)


def _licence(card: Mapping[str, Any]) -> str | None:
    """Return the licence in a model card. If the Hub lists it only as "other", the card may give its actual name."""
    for key in ("license_name", "license"):
        if isinstance(value := card.get(key), str) and value:
            return value
    return None


def _languages(card: Mapping[str, Any]) -> tuple[str, ...]:
    value = card.get("language")
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str) and one)


def _read(response: httpx2.Response, limit_bytes: int, what: str) -> bytes:
    return b"".join(_parts(response, limit_bytes, what))


def _parts(response: httpx2.Response, most_bytes: int, what: str) -> Iterator[bytes]:
    """Yield the parts of a response's body. Raises HubError if it has more than `most_bytes`."""
    for part in response.iter_raw():
        most_bytes -= len(part)
        if most_bytes < 0:
            raise HubError(f"the Hub sent more data for {what} than expected", "Run the command again later")
        yield part
