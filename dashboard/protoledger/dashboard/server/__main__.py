"""Serves the page until SIGTERM, SIGINT, or the end of standard input if it was started so."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn

from protoledger.dashboard.server.app import make_app
from protoledger.dashboard.server.connections import (
    CONNECTIONS,
    BoundedConnection,
    PatientLoop,
)
from protoledger.dashboard.server.settings import Settings
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit


class Server(uvicorn.Server):
    """Ends its streams when it is asked to stop, which would keep it up else, and ends well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals; uvicorn would raise them again, and the process end by them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.config.app.state.streams.end()  # type: ignore[union-attr]
        self.should_exit = True


def serve(settings: Settings) -> Exit:
    """Serve until a signal; returns the exit code."""
    try:
        app = make_app(settings)
        listening = _listen(settings)
    except OSError as error:  # an address that comes later, say: systemd tries again
        return _failed(error, Exit.UNAVAILABLE)
    except (ValueError, ConfigurationError) as error:
        return _failed(error, Exit.CONFIGURATION)
    BoundedConnection.patience_s = settings.patience_s
    config = uvicorn.Config(
        app,
        log_level="error",  # a warning for each malformed request would fill a log
        access_log=False,
        server_header=False,
        ws="none",
        http=BoundedConnection,
        timeout_graceful_shutdown=2,
        limit_concurrency=CONNECTIONS,
        proxy_headers=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    port = listening.getsockname()[1]
    sys.stdout.write(f"http{'s' if settings.secure else ''}://{host}:{port}/\n")
    sys.stdout.flush()
    if settings.until_input_ends:
        threading.Thread(target=_wait_for_end, daemon=True).start()
    try:
        with asyncio.Runner(loop_factory=PatientLoop) as runner:
            runner.run(Server(config).serve([listening]))
    except (OSError, ValueError) as error:  # a certificate that does not fit, say
        return _failed(error, Exit.CONFIGURATION)
    return Exit.OK


def _failed(error: Exception, code: Exit) -> Exit:
    sys.stderr.write(f"protoledger dashboard: {error}\n")
    return code


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
        )
    except OSError as error:
        raise OSError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another "
            f"port (--port), or stop the program that uses it"
        ) from error


def _wait_for_end() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(serve(Settings.decode(sys.argv[1])))
