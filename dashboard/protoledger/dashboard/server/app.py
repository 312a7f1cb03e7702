"""The page as an ASGI application: its files, the JSON API, streams, and the login."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.responses import StreamingResponse as Streamed
from starlette.routing import Route

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.views import VIEWS
from protoledger.dashboard.server.headers import GuardedHeaders
from protoledger.dashboard.server.login import PasswordFile, Sessions
from protoledger.dashboard.server.settings import Settings
from protoledger.dashboard.server.stream import Streams

STATIC: Final = Path(__file__).parents[1] / "static"
FORM_BYTES: Final = 8192
NUMBER: Final = re.compile("[0-9]{1,15}", re.ASCII)
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
LEAVE: Final = """<form method="post" action="/logout">
<button type="submit" class="leave">Log out</button></form>"""
Answering = Callable[[Request], Awaitable[Response]]


class Pages:
    """What the routes answer.

    Args:
        settings: whom to show, and to whom.

    Raises:
        ValueError: the password file is none.
        ConfigurationError: it cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.streams = Streams([GatewayFiles(name, store) for name, store in settings.stores()])
        self._password: PasswordFile | None = None
        if settings.password_file is not None:
            self._password = PasswordFile.read(Path(settings.password_file))
        self._sessions = Sessions()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._static_files = _static_files()
        self._page = (STATIC / "index.html").read_text(encoding="utf-8")
        if self._password is not None:
            self._page = self._page.replace("<!-- leave -->", LEAVE)
        self._secure = settings.secure
        self._cookie = "__Host-protoledger" if self._secure else "protoledger"

    def routes(self) -> list[Route]:
        """Return what can be asked for."""
        return [
            Route("/", self._private(self._index)),
            Route("/events", self._private(self._events)),
            Route("/api/views/{name}", self._private(self._view)),
            Route("/api/explain/{site}/{n}", self._private(self._explanation)),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/static/{path:path}", self._static),
        ]

    def _private(self, answer: Answering) -> Answering:
        async def answered(request: Request) -> Response:
            if self._may_look(request):
                return await answer(request)
            if request.url.path == "/":
                return RedirectResponse("/login", 303)
            return JSONResponse({"error": "log in first"}, 401)

        return answered

    def _may_look(self, request: Request) -> bool:
        return self._password is None or self._sessions.holds(self._token(request))

    def _token(self, request: Request) -> str:
        return request.cookies.get(self._cookie, "")

    async def _index(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def _static(self, request: Request) -> Response:
        found = self._static_files.get(request.path_params["path"])
        if found is None:
            return PlainTextResponse("not found", 404)
        return Response(found[0], media_type=found[1])

    async def _view(self, request: Request) -> Response:
        try:
            body = await self.streams.newest(request.path_params["name"])
        except KeyError:
            return JSONResponse({"error": f"there is: {', '.join(VIEWS)}"}, 404)
        return Response(body, media_type="application/json")

    async def _explanation(self, request: Request) -> Response:
        asked = request.path_params
        number = NUMBER.fullmatch(asked["n"])
        body = number and await self.streams.explained(asked["site"], int(number[0]))
        if body is None:
            return JSONResponse({"error": "no such site, or not kept any more"}, 404)
        return Response(body, media_type="application/json")

    async def _events(self, request: Request) -> Response:
        name = request.query_params.get("view", "now")
        if name not in VIEWS:
            return JSONResponse({"error": f"there is: {', '.join(VIEWS)}"}, 404)
        if self.streams.full:
            return JSONResponse({"error": "too many pages are open"}, 503)
        stream = self.streams.stream(name, lambda: self._may_look(request))
        headers = {"x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        return Streamed(stream, headers=headers, media_type="text/event-stream")

    async def _login(self, request: Request) -> Response:
        if self._password is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return _door()
        address = request.client.host if request.client else ""
        if not self._sessions.may_guess(address):
            return _door("Too many wrong passwords. Wait a minute, and try again.", 429)
        given = await _password_of(request)
        right = given is not None and await to_thread.run_sync(
            self._password.matches, given, limiter=self._one_at_a_time
        )
        if not right:
            return _door("That is not the password.", 403)
        self._sessions.right(address)
        self._sessions.end(self._token(request))  # the one before, in this browser
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie, self._sessions.begin(),
            secure=self._secure, httponly=True, samesite="strict", path="/",
        )  # fmt: skip
        return answer

    async def _logout(self, request: Request) -> Response:
        self._sessions.end(self._token(request))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True)
        return answer


def _static_files() -> dict[str, tuple[bytes, str]]:
    """Read what the page consists of, by path: no request names a file of this machine."""
    return {
        path.relative_to(STATIC).as_posix(): (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(STATIC.rglob("*"))
        if path.suffix in TYPES
    }


def _door(refused: str = "", status: int = 200) -> Response:
    """Return the page that asks for the password, with a sentence of ours that says why again."""
    text = f'<p class="refused" role="alert">{refused}</p>' if refused else ""
    page = (STATIC / "login.html").read_text(encoding="utf-8").replace("<!-- refused -->", text)
    headers = {"retry-after": "60"} if status == 429 else None
    return HTMLResponse(page, status, headers)


async def _password_of(request: Request) -> str | None:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            return None
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=4, errors="strict")
    except ValueError:
        return None
    return found.get("password", [None])[0]


def make_app(settings: Settings) -> Starlette:
    """Return the application.

    Raises:
        ValueError: the password file is none.
        ConfigurationError: it cannot be read.
    """
    pages = Pages(settings)

    @contextlib.asynccontextmanager
    async def following(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(pages.streams.follow())
        try:
            yield
        finally:
            task.cancel()
            pages.streams.close()

    only_here = settings.host if settings.local and not settings.secure else None
    guard = Middleware(GuardedHeaders, only_here=only_here, secure=settings.secure)
    app = Starlette(routes=pages.routes(), middleware=[guard], lifespan=following)
    app.state.streams = pages.streams
    return app
