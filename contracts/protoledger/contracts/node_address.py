"""What of a node's address may be shown: rented nodes have their key in it."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown(url: str) -> str:
    """Leave user, password, path and query out of a node's address, for messages and logs.

    >>> shown("https://user:secret@node.example/v3/0123456789abcdef?key=secret")
    'https://node.example/…'
    >>> shown("http://127.0.0.1:8545")
    'http://127.0.0.1:8545'
    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "an address that is none"
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    hidden = parts.path.strip("/") or parts.query or parts.fragment
    return f"{parts.scheme}://{host}{port}" + ("/…" if hidden else "")
