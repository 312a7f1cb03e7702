"""What a browser may do with what it gets: nothing but show it, and fetch more from here.

No script, style or frame from elsewhere or inline, no other page may embed this one, and nothing is
kept by caches. A page on this machine alone also refuses names that are not this machine's: a
foreign page whose name was made to point here (DNS rebinding) must not read it.
"""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SENT: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}
HERE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
READING: Final = frozenset({"GET", "HEAD"})
POSTED: Final = frozenset({"/login", "/logout"})
"""The only requests that are not for reading; they change who is logged in, and nothing else."""


class GuardedHeaders:
    """ASGI middleware that adds the headers, and refuses what no page of ours asks.

    Args:
        app: what answers.
        only_here: whether only this machine's names are served.
        secure: whether the page is served with TLS.
    """

    def __init__(self, app: ASGIApp, *, only_here: bool, secure: bool) -> None:
        self._app = app
        self._only_here = only_here
        self._sent = dict(SENT)
        if secure:
            self._sent["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._sent)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else refusal
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._only_here and name not in HERE:
            return PlainTextResponse("this page is for this machine alone", 421)
        posted = scope["method"] == "POST" and scope["path"] in POSTED
        if scope["method"] not in READING and not posted:
            return PlainTextResponse("the page can only be read", 405, {"allow": "GET, HEAD"})
        if posted and headers.get("origin", "").partition("://")[2] != host:
            return PlainTextResponse("sent by another page", 403)
        return None
