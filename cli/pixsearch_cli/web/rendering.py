"""Renders the HTML pages, including the error page."""

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
    """Render a template as a response. All links on the page begin with the root path of the server."""
    root = request.scope.get("app_root_path", request.scope["root_path"])  # Starlette sets app_root_path inside a mount
    may_index = "app" in request.scope and request.app.state.site.runs is not None
    text = _TEMPLATES.get_template(template).render(values, root=root, may_index=may_index)
    return HTMLResponse(text.encode(errors="replace"), code, {"Content-Security-Policy": _POLICY})


def shown(path: bytes) -> str:
    """Return a path as text, with a replacement character for bytes that are not UTF-8."""
    return path.decode(errors="replace")
