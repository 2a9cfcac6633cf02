"""Guards the app: checks access, limits the size and duration of requests, and adds security headers to responses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import quote, unquote, unquote_plus

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixsearch_cli.web.access import Access
from pixsearch_cli.web.problems import problem

UPLOAD_LIMIT_BYTES = 64 << 20
"""The limit for a form with pictures. Even the largest phone photos are smaller."""
BODY_LIMIT_BYTES = 64 << 10
"""The limit for any other body, such as a JSON search or a token. For authorised clients, some routes set their own."""
BODY_TIMEOUT_S = 30.0

_COOKIE = "pixsearch_token"
_COOKIE_LASTS_S = 30 * 24 * 3600
_OPEN_TO_ALL = (
    "/api/health",
    "/static/style.css",
    "/static/theme.js",
    "/static/icon.svg",
    "/static/apple-touch-icon.png",
)
"""Paths that need no token: for health checks, and for the page that prompts for the token."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
INERT = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""The Content-Security-Policy of everything but the pages: an opened file cannot run scripts or load anything."""


class AccessGuard:
    """ASGI middleware that lets only permitted requests through to the app."""

    def __init__(self, app: ASGIApp, access: Access, body_limits: Mapping[str, int]) -> None:
        """`body_limits` contains limits in bytes for specific paths."""
        self._app = app
        self._access = access
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._put_below_root(scope)
        if scope["client"] is not None and not scope["client"][0].isprintable():
            scope["client"] = None  # X-Forwarded-For is logged, and may contain escape sequences
        token = _taken_out_of_address(scope)
        body = _Body(receive, Headers(scope=scope))
        with suppress(ClientDisconnect):  # there is no client left to respond to
            answer = await self._refusal(Request(scope, body.receive), body, token) or self._app
            await answer(scope, body.receive, _with_headers(send, body))

    async def _refusal(self, request: Request, body: _Body, token: str | None) -> Response | None:
        """Return the response to a request that is refused or redirected, or None if it is allowed."""
        try:
            path = request.scope["path"].removeprefix(self._access.root_path)
            if path in self._body_limits and self._has_token(request):
                body.limit = self._body_limits[path]
            body.check_length()
            self._check_names(request)
            return await self._check_token(request, token, path)
        except HTTPException as error:
            return problem(request, error.status_code, error.detail, error.headers)

    def _put_below_root(self, scope: Scope) -> None:
        """Set the path of a request to the path that the browser sees, even if the proxy has removed the root path."""
        root, path = self._access.root_path, scope["path"]
        if path == root:
            path = f"{root}/"
        elif not path.startswith(f"{root}/"):
            path = f"{root}{path}"
        scope.update(path=path, root_path=root)

    def _check_names(self, request: Request) -> None:
        """Check the host name and the origin. Raises HTTPException."""
        host = request.headers.get("host", "")
        if not self._access.is_our_name(host):
            raise HTTPException(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"unknown host name {host!r}: to allow it, start the server with --allow-host followed by this name",
            )
        if self._is_of_another_site(request, host):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "requests from other sites are refused; if this server sent the page, restart it with --allow-host",
            )

    def _is_of_another_site(self, request: Request, host: str) -> bool:
        """Return whether a browser marks the request as cross-origin. Other programs do not send these headers."""
        site = request.headers.get("sec-fetch-site", "none")
        if request.method in _SAFE_METHODS:  # a link from elsewhere is fine
            return site in ("cross-site", "same-site") and request.headers.get("sec-fetch-mode") != "navigate"
        if site not in ("none", "same-origin"):
            return True
        origin = request.headers.get("origin")
        return origin is not None and not self._access.is_our_page(origin, host)

    def _has_token(self, request: Request) -> bool:
        """Return whether the token is in the headers of a request, or is not required."""
        return self._access.token is None or any(map(self._access.is_our_token, _credentials(request.headers)))

    async def _check_token(self, request: Request, in_address: str | None, path: str) -> Response | None:
        """Return None if the token is valid or not required, or a redirect with a cookie if it is in the URL or a form.

        Raises HTTPException 401.
        """
        if self._access.token is None or path in _OPEN_TO_ALL:
            return None
        if in_address and request.method in ("GET", "HEAD") and self._access.is_our_token(in_address):
            return self._let_in(request, path)
        if self._has_token(request):
            return None
        in_form = await _token_of_form(request)
        if in_form and self._access.is_our_token(in_form):
            return self._let_in(request, path)
        detail = "wrong access token" if in_form or in_address else "access token required (printed by pixsearch serve)"
        raise HTTPException(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})

    def _let_in(self, request: Request, path: str) -> Response:
        """Redirect to the URL without the token, to keep the token out of the browser history and shared links."""
        root = self._access.root_path
        query = request.scope["query_string"].decode("latin-1")
        page = f"{root}/{path.lstrip('/')}"  # //elsewhere would be another server
        answer = RedirectResponse(f"{page}{'?' if query else ''}{query}", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            _COOKIE,
            quote(self._access.token or "", safe=""),
            max_age=_COOKIE_LASTS_S,
            path=root or "/",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="lax",
        )
        return answer


def _taken_out_of_address(scope: Scope) -> str | None:
    """Remove the token from the query string, so that it is not logged, and return it."""
    pairs = scope["query_string"].decode("latin-1").split("&")
    tokens = [unquote_plus(pair.partition("=")[2]) for pair in pairs if _is_token(pair)]
    if not tokens:
        return None
    scope["query_string"] = "&".join(pair for pair in pairs if not _is_token(pair)).encode("latin-1")
    return tokens[-1]


def _is_token(pair: str) -> bool:
    return unquote_plus(pair.partition("=")[0]) == "token"


def _credentials(headers: Headers) -> Iterator[str]:
    """Yield the tokens in a request: from its header, and from all cookies with our name, whatever their path."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip().encode("latin-1").decode(errors="replace")  # programs send UTF-8
    for cookie in ";".join(headers.getlist("cookie")).split(";"):
        name, _, value = cookie.partition("=")
        if name.strip() == _COOKIE:
            yield unquote(value.strip())


async def _token_of_form(request: Request) -> str | None:
    """Return the token from the form on the page that prompts for it."""
    if request.method != "POST" or _media_type(request.headers) != "application/x-www-form-urlencoded":
        return None
    pairs = (await request.body()).decode("latin-1").split("&")
    return next((unquote_plus(pair.partition("=")[2]) for pair in pairs if _is_token(pair)), None)


class _Body:
    """The body of a request, limited in size and time."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self.limit = UPLOAD_LIMIT_BYTES if _media_type(headers) == "multipart/form-data" else BODY_LIMIT_BYTES
        self._deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
        self._received = 0
        self._length = headers.get("content-length")
        self._is_chunked = "transfer-encoding" in headers
        self.complete = not self._is_chunked and self._length in (None, "0")
        """True if the whole body has been read."""

    def check_length(self) -> None:
        """Check the headers of a body. Raises HTTPException 400 and 413."""
        if self._is_chunked and self._length is not None:
            # A proxy may use the other header and treat the rest as the next request (RFC 9112, 6.3).
            raise HTTPException(HTTPStatus.BAD_REQUEST, "send Content-Length or Transfer-Encoding, not both")
        if self._length is not None and int(self._length) > self.limit:
            raise self._too_large()

    async def receive(self) -> Message:
        """Return the next message of the body (ASGI). Raises HTTPException 413 and 408."""
        if self.complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, f"request not complete within {BODY_TIMEOUT_S:.0f} s"
            ) from error
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            raise self._too_large()
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        size = f"{self.limit >> 20} MiB" if self.limit >> 20 else f"{self.limit >> 10} kB"
        return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"request larger than {size}")


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _with_headers(send: Send, body: _Body) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", INERT)
            headers.setdefault("Cache-Control", "no-store")
            if not body.complete:  # otherwise, the server would read the rest
                headers["Connection"] = "close"
        await send(message)

    return sending
