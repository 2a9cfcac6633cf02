"""What the Hugging Face hub says of a model, and its files. `pixsearch model get` alone uses this.

The hub is asked by plain HTTP: huggingface_hub would send a token that it finds in the user's home, and keep what it
downloads in a place of its own. HF_ENDPOINT and HF_TOKEN mean what they mean there.
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
    """The hub or the network failed; the same request may succeed later."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, with what the hub says of its bytes."""

    name: str
    size_bytes: int
    algorithm: str
    """sha256 for a file in LFS; git's own of a blob for the others."""
    checksum: str

    def hasher(self) -> hashlib._Hash:
        """Return a hash that has the file's `checksum` once it is updated with all its bytes."""
        if self.algorithm == "sha256":
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)


@dataclass(frozen=True)
class Repository:
    """A model on the hub at one revision, with the files of it that pixsearch takes."""

    name: str
    """hub:organisation/model."""
    commit: str
    licence: str | None
    languages: tuple[str, ...]
    """As its card names them; empty where it names none."""
    files: tuple[HubFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def file(self, name: str) -> HubFile | None:
        return next((file for file in self.files if file.name == name), None)


def hub_name(name: str) -> str:
    """Return hub:organisation/model for that or for organisation/model. Raises UsageError for any other name."""
    name = name if name.startswith(HUB) else f"{HUB}{name}"
    hub_folder(name)
    return name


class Hub:
    """A connection to the hub."""

    def __init__(self) -> None:
        """Connect to HF_ENDPOINT, as who HF_TOKEN says, else to the public hub as nobody. Raises UsageError."""
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        if not self.endpoint.startswith(("https://", "http://")):
            raise UsageError(f"HF_ENDPOINT is {self.endpoint}, which is not a web address", "Correct or unset it")
        headers = {"User-Agent": f"pixsearch/{__version__}", "Accept-Encoding": "identity"}
        self._has_token = bool(token := os.environ.get("HF_TOKEN", "").strip())
        if self._has_token:  # httpx2 takes it out of a request that is redirected to another host
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._client = httpx2.Client(
                headers=headers, follow_redirects=True, timeout=httpx2.Timeout(_READ_S, connect=_CONNECT_S)
            )
        except (ValueError, httpx2.InvalidURL) as error:  # a token that is no text, a proxy that is no address
            raise UsageError(f"cannot connect by HF_TOKEN and the proxy settings ({error})", "Correct them") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def repository(self, name: str, revision: str | None = None) -> Repository:
        """Ask for a model by its name, at a branch, tag or commit, by default the latest.

        Raises:
            HubError: there is none, it needs a token, it has no weights in safetensors, or the answer makes no sense.
            Unreachable: no network, or the hub cannot answer now.
            UsageError: no model can have that name.
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
            raise HubError(f"{self.endpoint} does not describe {name} as the hub does", "Check HF_ENDPOINT") from error

    def read(self, repository: Repository, file: HubFile) -> bytes:
        """Return a small file, compared with its checksum. Raises HubError, Unreachable."""
        with self.opened(repository, file) as (_, parts):
            data = b"".join(parts)
        hasher = file.hasher()
        hasher.update(data)
        if hasher.hexdigest() != file.checksum:
            raise wrong_checksum(repository, file)
        return data

    @contextmanager
    def opened(self, repository: Repository, file: HubFile, start: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open a file from a byte on. Yields the byte that it begins at, which is 0 where the server knows no ranges,
        and its parts, at most as many bytes as the file has. Raises HubError, Unreachable.
        """
        path = f"/{repository.name.removeprefix(HUB)}/resolve/{repository.commit}/{file.name}"
        with self._get(path, repository.name, headers={"Range": f"bytes={start}-"} if start else {}) as response:
            begins = start if response.status_code == httpx2.codes.PARTIAL_CONTENT else 0
            if begins and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise HubError(f"{self.endpoint} sent another part of {file.name} than requested", "Try again later")
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
                f"{self.endpoint} cannot be reached ({first_line(error)})", "Check the network. Run it again"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise HubError(
                f"{self.endpoint} does not answer as the hub does ({first_line(error)})", "Check HF_ENDPOINT"
            ) from error

    def _refusal(self, response: httpx2.Response, name: str, revision: str | None) -> HubError:
        status, code = response.status_code, response.headers.get("X-Error-Code", "")
        page = f"{self.endpoint}/{name.removeprefix(HUB)}"
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            wait = response.headers.get("Retry-After", "")
            after = f"in {wait} seconds" if wait.isascii() and wait.isdecimal() else "in some minutes"
            return Unreachable(f"{self.endpoint} has had too many requests", f"Run it again {after}")
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            return Unreachable(f"{self.endpoint} cannot answer now (HTTP {status})", "Run it again later")
        if code == "GatedRepo":
            return HubError(
                f"{name} is gated: its authors want their conditions accepted",
                f"Accept them at {page}, and set HF_TOKEN to a token of yours",
            )
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN) and self._has_token:
            return HubError(f"{self.endpoint} refuses the token in HF_TOKEN for {name}", "Check it, or unset it")
        if code == "RevisionNotFound" or (status == httpx2.codes.NOT_FOUND and revision and code != "RepoNotFound"):
            return HubError(f"{name} has no revision {revision}", "Leave --revision out for the latest")
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN, httpx2.codes.NOT_FOUND):
            return HubError(
                f"{self.endpoint} has no public model {name}", "Check the name; set HF_TOKEN for one that is private"
            )
        return HubError(f"{self.endpoint} refuses to send {name} (HTTP {status})", "See whether it is still there")


def wrong_checksum(repository: Repository, file: HubFile) -> HubError:
    """Return the error for a file whose bytes are not what the hub says of them."""
    return HubError(
        f"{file.name} of {repository.name} does not have the checksum that the hub states, and was deleted",
        "Run it again",
    )


def _repository(name: str, answer: Any) -> Repository:
    """Raises HubError for a model that pixsearch does not take; ValueError, TypeError, KeyError for nonsense."""
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
        raise HubError(f"{name} has no weights in safetensors: {found}", "Choose a model that has them")
    if "config.json" not in chosen:
        raise HubError(f"{name} has no config.json, so transformers cannot load it", "Choose another model")
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
            f"{name} of {repository} has {size_bytes:,} bytes, more than pixsearch takes", "Choose another model"
        )
    return HubFile(name, size_bytes, algorithm, checksum)


def _licence(card: Mapping[str, Any]) -> str | None:
    """The licence that a model's card states, by its own name where the hub knows it only as "other"."""
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
    """The body as it comes. Raises HubError where it has more bytes than that."""
    for part in response.iter_raw():
        most_bytes -= len(part)
        if most_bytes < 0:
            raise HubError(f"the hub sends more bytes of {what} than it says", "Run it again later")
        yield part
