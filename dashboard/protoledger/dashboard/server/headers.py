"""What a browser may do with what it gets: nothing but show it, and fetch more from here.

No script, style or frame from elsewhere or inline, no other page may embed this one, and nothing is
kept by caches. A page on this machine alone also refuses names that are not this machine's: a
foreign page whose name was made to point here (DNS rebinding) must not read it. What another page
asks for, which it could not read, is refused as well: its streams would take the place of ours.
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
FOREIGN: Final = frozenset({"cross-site", "same-site"})
LINK: Final = ("navigate", "document")
"""How a browser asks for a page that a person goes to, from wherever."""
READING: Final = frozenset({"GET", "HEAD"})
POSTED: Final = frozenset({"/login", "/logout"})
"""The only requests that are not for reading; they change who is logged in, and nothing else."""


class GuardedHeaders:
    """ASGI middleware that adds the headers, and refuses what no page of ours asks.

    Args:
        app: what answers.
        only_here: the address of this machine that is listened on, if only this machine's names
            are served.
        secure: whether the page is served with TLS.
    """

    def __init__(self, app: ASGIApp, *, only_here: str | None, secure: bool) -> None:
        self._app = app
        self._names: frozenset[str] | None = None
        if only_here is not None:
            self._names = HERE | {f"[{only_here}]" if ":" in only_here else only_here}
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
        if self._names is not None and name not in self._names:
            return PlainTextResponse("this page is for this machine alone", 421)
        posted = scope["method"] == "POST" and scope["path"] in POSTED
        if scope["method"] not in READING and not posted:
            return PlainTextResponse("the page can only be read", 405, {"allow": "GET, HEAD"})
        origin = headers.get("origin", "" if posted else f"//{host}")
        if origin.partition("//")[2] != host or _is_foreign(headers):
            return PlainTextResponse("sent by another page", 403)
        return None


def _is_foreign(headers: Headers) -> bool:
    """Whether another page asks; browsers say so since 2020 to 2023 (Fetch Metadata)."""
    if headers.get("sec-fetch-site") not in FOREIGN:
        return False
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) != LINK
