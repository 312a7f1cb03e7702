"""A real broker while one authority takes another's place: it trusts both and heeds both lists."""

import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.runtime.pki import succession
from protoledger.runtime.pki.certificates import Authority, fresh_key, public_half

CONNECT = bytes.fromhex("100d00044d5154540402003c000161")  # MQTT 3.1.1, client id "a"
CONFIGURATION = """\
listener {port} 127.0.0.1
cafile ca.crt
certfile hub.crt
keyfile hub.key
crlfile crl.pem
require_certificate true
use_identity_as_username true
persistence false
user root
"""


def admit(folder: Path, name: str, usage: str = "client") -> int:
    """Sign a device's certificate by the present authority; gives its serial number."""
    file = name.partition("-by-")[0]
    (folder / f"{name}.key").write_bytes(fresh_key("tls"))
    request = public_half("tls", (folder / f"{name}.key").read_bytes(), file).encode()
    addresses = ["127.0.0.1"] if usage == "server" else []
    issued = Authority(folder / "pki").issue(file, request, usage, addresses, 30)
    (folder / f"{name}.crt").write_bytes(issued.public_bytes(Encoding.PEM))
    return issued.serial_number


def let_in(folder: Path, port: int, name: str) -> bool:
    """Whether the broker accepts a device, and the device the broker."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    try:
        with socket.create_connection(("127.0.0.1", port), 60) as plain:
            client = context.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(CONNECT)
            return client.recv(4) == b"\x20\x02\x00\x00"
    except OSError:
        return False


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def test_the_broker_takes_both_and_refuses_what_either_has_revoked(tmp_path):
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if mosquitto is None:
        pytest.skip("Mosquitto is not installed")
    Authority.create(tmp_path / "pki", "fleet", 3650)
    admit(tmp_path, "a-by-old")
    gone = admit(tmp_path, "b-by-old")
    succession.stage(tmp_path, "fleet", 3650)
    succession.switch(tmp_path)
    admit(tmp_path, "hub", "server")
    admit(tmp_path, "a-by-new")
    left = admit(tmp_path, "b-by-new")
    assert succession.revoke(tmp_path, [], {gone, left})
    (tmp_path / "ca.crt").write_text(succession.trusted(tmp_path))
    (tmp_path / "crl.pem").write_text(succession.revoked(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "broker.conf").write_text(CONFIGURATION.format(port=port))
    broker = subprocess.Popen(
        [mosquitto, "-c", "broker.conf"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_it_listens(port)
        names = ("a-by-old", "a-by-new", "b-by-old", "b-by-new")
        found = {name: let_in(tmp_path, port, name) for name in names}
    finally:
        broker.terminate()
        broker.wait(60)
    assert found == {"a-by-old": True, "a-by-new": True, "b-by-old": False, "b-by-new": False}
