"""Fetch a small document by HTTP, with limits on its size and on the time it may take.

Redirects are refused: they could lead a token to another host. Several sensors that read the same
URL share one request, see `Documents`.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from protoledger.sensors.errors import (
    DeviceGone,
    ReadFailed,
    ReadTimeout,
    SensorError,
    SensorMissing,
)
from protoledger.sensors.pins.messages import Request

MOST_BYTES = 1_048_576
_PIECE_BYTES = 16_384


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Documents:
    """The answers to one request; use it by one sensor at a time.

    Args:
        request: what is fetched.
        clock: monotonic seconds.

    Raises:
        SensorMissing: a file of the request does not exist.
    """

    def __init__(self, request: Request, clock: Callable[[], float] = time.monotonic) -> None:
        for file in (request.token_file, request.ca_file):
            if file is not None and not Path(file).is_file():
                raise SensorMissing(f"there is no file {file}: check the options of the driver")
        self._request = request
        self._clock = clock
        self._answer: bytes | SensorError | None = None
        self._answered_s = 0.0

    def get(self) -> bytes:
        """Return the document, fetched now or up to `fresh_s` ago.

        Raises:
            DeviceGone: the server cannot be reached.
            ReadTimeout: it did not answer in time.
            ReadFailed: it answered with an error, a redirect or too much.
        """
        if self._answer is None or self._clock() - self._answered_s >= self._request.fresh_s:
            try:
                self._answer = self._fetch()
            except SensorError as error:
                self._answer = error
            self._answered_s = self._clock()
        if isinstance(self._answer, SensorError):
            raise self._answer.with_traceback(None)
        return self._answer

    def close(self) -> None:
        """Nothing stays open between two requests."""

    def _fetch(self) -> bytes:
        request = self._request
        ask = urllib.request.Request(request.url, headers=self._headers())  # noqa: S310 - the options allow only http and https
        try:
            with self._opener().open(ask, timeout=request.timeout_s) as answer:
                return self._read(answer)
        except SensorError:  # each is also a builtin, such as OSError
            raise
        except urllib.error.HTTPError as error:
            error.close()
            raise ReadFailed(self._refusal(error)) from None
        except TimeoutError:
            raise ReadTimeout(self._too_slow()) from None
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ReadTimeout(self._too_slow()) from None
            raise DeviceGone(
                f"{request.url} cannot be fetched ({type(reason).__name__}: {reason}): is the "
                "device on, the address right, ca_file its authority?"
            ) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        import ssl  # noqa: PLC0415 - an http URL does not need it

        context = ssl.create_default_context(cafile=self._request.ca_file)
        return urllib.request.build_opener(
            _NoRedirect,
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json, text/plain, */*", "User-Agent": "protoledger"}
        if self._request.token_file is not None:
            try:
                lines = Path(self._request.token_file).read_text("ascii").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ReadFailed(
                    f"{self._request.token_file} cannot be read: {type(error).__name__}"
                ) from None
            headers["Authorization"] = f"Bearer {lines[0].strip() if lines else ''}"
        return headers

    def _read(self, answer: Any) -> bytes:
        """Read the body; a server that sends it drop by drop does not hold the sensor for long."""
        deadline = self._clock() + self._request.timeout_s
        body = bytearray()
        while piece := answer.read1(_PIECE_BYTES):
            body += piece
            if len(body) > MOST_BYTES:
                raise ReadFailed(f"{self._request.url} sends more than {MOST_BYTES} bytes")
            if self._clock() > deadline:
                raise ReadTimeout(self._too_slow())
        return bytes(body)

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        url = self._request.url
        if 300 <= error.code < 400:
            return f"{url} redirects to another address: give that one as `url`"
        if error.code in {401, 403}:
            return f"{url} refuses access (status {error.code}): check token_file"
        return f"{url} answers with status {error.code}: check `url`"

    def _too_slow(self) -> str:
        return f"{self._request.url} did not answer in {self._request.timeout_s:g} s"
