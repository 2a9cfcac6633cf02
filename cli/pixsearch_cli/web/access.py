"""Who may ask: by Host, Origin and token, with how much, and how slowly. And what a browser may do with the answer."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixsearch_cli.web.problems import problem

BODY_LIMIT_BYTES = 64 << 20
"""Of an upload; also what a phone's largest photos stay below."""
BODY_TIMEOUT_S = 30.0

_TOO_LARGE = f"larger than {BODY_LIMIT_BYTES >> 20} MiB: send a smaller picture"
_HANG_UP = {"Connection": "close"}
"""Without it the rest of a body would be read to its end."""
_COOKIE = "pixsearch_token"
_OPEN_TO_ALL = ("/api/health",)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
INERT = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""The Content-Security-Policy of everything but the pages: what is opened runs nothing and loads nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """To whom the server answers."""

    host_names: frozenset[str]
    """What it may be called in a Host header, without the port."""
    any_address: bool
    """Whether it may also be called by any IP address: a name that an attacker rebinds is none."""
    token: str | None
    """What whoever asks must bring."""

    def is_our_name(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self.host_names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address

    def is_our_token(self, given: str) -> bool:
        """In a time that does not tell how much of it is right."""
        return self.token is None or secrets.compare_digest(given.encode(errors="replace"), self.token.encode())


def access_at(host: str, token: str | None) -> Access:
    """Who may ask a server that listens there. Raises OSError for a host that there is not."""
    addresses = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    if all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses):
        return Access(frozenset({"localhost", "127.0.0.1", "::1", host.lower()}), any_address=False, token=token)
    own = socket.gethostname().lower()
    names = {"localhost", host.lower(), own, f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}
    return Access(frozenset(names), any_address=True, token=token or secrets.token_urlsafe(24))


class AccessGuard:
    """Stands before the app (ASGI)."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _with_headers(send)
        if (refusal := self._refusal(scope, Headers(scope=scope))) is not None:
            await refusal(scope, receive, sending)
        else:
            await self._app(scope, _limited(receive), sending)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """What is answered to a request that may not be asked; None for one that may."""
        host = headers.get("host", "")
        if not self._access.is_our_name(host):
            return problem(HTTPStatus.MISDIRECTED_REQUEST, f"this server is not called {host!r}")
        if _is_of_another_site(scope["method"], headers, host):
            return problem(HTTPStatus.FORBIDDEN, "another site's page may not ask this server")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > BODY_LIMIT_BYTES:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE, _HANG_UP)
        if self._access.token is None or scope["path"] in _OPEN_TO_ALL:
            return None
        return self._refusal_without_token(scope, headers)

    def _refusal_without_token(self, scope: Scope, headers: Headers) -> Response | None:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.is_our_token(credentials.strip()):
            return None
        if (cookie := _cookie(headers)) and self._access.is_our_token(cookie):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if (given := dict(query).get("token")) and self._access.is_our_token(given):
            # Out of the address bar, where it would stay in the history and in links that are shared.
            others = urlencode([(name, value) for name, value in query if name != "token"])
            page = "/" + scope["path"].lstrip("/")  # //elsewhere would be another server
            answer = RedirectResponse(f"{page}{'?' if others else ''}{others}", HTTPStatus.SEE_OTHER)
            answer.set_cookie(_COOKIE, given, httponly=True, samesite="lax", max_age=30 * 24 * 3600)
            return answer
        detail = "a token is needed, which pixsearch serve has printed: open its address, or send it as a bearer token"
        return problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def _is_of_another_site(method: str, headers: Headers, host: str) -> bool:
    """Whether a browser says that a page from elsewhere asks. Other programs say nothing of the kind."""
    site = headers.get("sec-fetch-site", "none")
    if method in _SAFE_METHODS:  # a link from elsewhere is fine
        return site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate"
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc.lower() != host.lower()
    return site not in ("none", "same-origin")


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", INERT)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """A body that is neither too long nor too slow. Raises HTTPException 413 and 408 where it is."""
    received = 0
    complete = False
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def receiving() -> Message:
        nonlocal received, complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, f"no whole request within {BODY_TIMEOUT_S:.0f} s", _HANG_UP
            ) from error
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > BODY_LIMIT_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE, _HANG_UP)
        return message

    return receiving
