"""The /docs page: plain HTML, CSS and JavaScript from this package. Nothing comes from another host, and the page's
policy forbids its browser to ask one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from twofold.http.answers import Answer, Scope

__all__ = ["docs_pages"]

_FILES = {
    "/docs": ("docs.html", b"text/html; charset=utf-8"),
    "/docs/docs.css": ("docs.css", b"text/css; charset=utf-8"),
    "/docs/docs.js": ("docs.js", b"text/javascript; charset=utf-8"),
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_pages() -> dict[str, Callable[[Scope], Awaitable[Answer]]]:
    """The page and its files by path."""
    folder = files("twofold.http") / "static"
    return {path: _page((folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}


def _page(body: bytes, kind: bytes) -> Callable[[Scope], Awaitable[Answer]]:
    async def page(scope: Scope) -> Answer:
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        return Answer(200, headers, body)

    return page
