"""The page as an ASGI application: its files, the JSON API, streams, and the login."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse as Streamed
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.views import VIEWS, explained
from protoledger.dashboard.server.headers import GuardedHeaders
from protoledger.dashboard.server.login import PasswordFile, Sessions
from protoledger.dashboard.server.settings import Settings
from protoledger.dashboard.server.stream import Streams

STATIC: Final = Path(__file__).parents[1] / "static"
FORM_BYTES: Final = 8192
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
        self._sites = [GatewayFiles(name, store) for name, store in settings.stores()]
        self.streams = Streams(self._sites)
        self._password: PasswordFile | None = None
        if settings.password_file is not None:
            self._password = PasswordFile.read(Path(settings.password_file))
        self._sessions = Sessions()
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._secure = settings.secure
        self._cookie = "__Host-protoledger" if self._secure else "protoledger"

    def routes(self) -> list[Route | Mount]:
        """Return what can be asked for."""
        return [
            Route("/", self._private(self._index)),
            Route("/events", self._private(self._events)),
            Route("/api/views/{name}", self._private(self._view)),
            Route("/api/explain/{site}/{n:int}", self._private(self._explanation)),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def _private(self, answer: Answering) -> Answering:
        async def answered(request: Request) -> Response:
            if self._password is None or self._sessions.holds(self._token(request)):
                return await answer(request)
            if request.url.path == "/":
                return RedirectResponse("/login", 303)
            return JSONResponse({"error": "log in first"}, 401)

        return answered

    def _token(self, request: Request) -> str:
        return request.cookies.get(self._cookie, "")

    async def _index(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _view(self, request: Request) -> Response:
        try:
            body = self.streams.newest(request.path_params["name"])
        except KeyError:
            return JSONResponse({"error": f"there is: {', '.join(VIEWS)}"}, 404)
        return Response(body, media_type="application/json")

    async def _explanation(self, request: Request) -> Response:
        asked = request.path_params
        body = explained(asked["site"], asked["n"], self._sites)
        if body is None:
            return JSONResponse({"error": "no such site, or not kept any more"}, 404)
        return Response(body, media_type="application/json")

    async def _events(self, request: Request) -> Response:
        name = request.query_params.get("view", "now")
        if name not in VIEWS:
            return JSONResponse({"error": f"there is: {', '.join(VIEWS)}"}, 404)
        if self.streams.full:
            return JSONResponse({"error": "too many pages are open"}, 503)
        headers = {"x-accel-buffering": "no"}
        return Streamed(self.streams.stream(name), headers=headers, media_type="text/event-stream")

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
            self._sessions.wrong(address)
            return _door("That is not the password.", 403)
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

    guard = Middleware(
        GuardedHeaders, only_here=settings.local and not settings.secure, secure=settings.secure
    )
    app = Starlette(routes=pages.routes(), middleware=[guard], lifespan=following)
    app.state.streams = pages.streams
    return app
