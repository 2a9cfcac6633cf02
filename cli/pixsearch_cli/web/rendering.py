"""HTML for browsers: the pages, and what is wrong in a page of its own."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)


def page(request: Request, template: str, code: int = 200, **values: object) -> Response:
    """A template as an answer. Every address in it begins with the path that the server stands under."""
    root = request.scope.get("app_root_path", request.scope["root_path"])  # Starlette's, where it went into a mount
    may_index = "app" in request.scope and request.app.state.site.runs is not None
    text = _TEMPLATES.get_template(template).render(values, root=root, may_index=may_index)
    return HTMLResponse(text.encode(errors="replace"), code, {"Content-Security-Policy": _POLICY})


def shown(path: bytes) -> str:
    """A path for people, with a sign for each byte that is no text."""
    return path.decode(errors="replace")
