"""What a home has besides protoledger: a broker with Zigbee sensors' messages, a meter's page."""

import http.server
import json
import ssl
import threading
import time

import paho.mqtt.client as mqtt

from protoledger.emulator.processes.broker import (
    LOOPBACK,
    find_mosquitto,
    free_port,
    try_connection,
)
from protoledger.emulator.processes.children import SERVERS

MESSAGES = {
    "zigbee2mqtt/living-room": {"temperature": 21.5, "humidity": 40.0},
    "zigbee2mqtt/living-room-motion": {"occupancy": True},
}
_EVERY_S = 2.0
_LIMIT_S = 20.0


class Home:
    """The home's broker, of another authority's making than the site's, and a page in JSON.

    Args:
        folder: a new one.
        authority: issues the broker's certificate.
        children: owns the broker's process.

    Attributes:
        broker_port, web_port: where they listen, on the loopback.
    """

    def __init__(self, folder, authority, children):
        folder.mkdir()
        self.broker_port = free_port()
        self._stop = threading.Event()
        self._authority = authority
        self._start_broker(folder, children)
        self._web = http.server.ThreadingHTTPServer((LOOPBACK, 0), _Page)
        self.web_port = self._web.server_address[1]
        self._threads = [
            threading.Thread(target=target) for target in (self._report, self._web.serve_forever)
        ]
        for thread in self._threads:
            thread.start()

    def close(self):
        """Fall silent."""
        self._stop.set()
        self._web.shutdown()
        for thread in self._threads:
            thread.join()
        self._web.server_close()

    def _start_broker(self, folder, children):
        issued = self._authority.server()
        lines = (
            f"listener {self.broker_port} {LOOPBACK}",
            f"certfile {issued.certificate}",
            f"keyfile {issued.key}",
            "allow_anonymous true",
            "persistence false",
            "log_dest stderr",
            "user root",
        )
        (folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))
        command = [find_mosquitto(), "-c", folder / "mosquitto.conf"]
        children.start("home", command, layer=SERVERS)
        deadline = time.monotonic() + _LIMIT_S
        while problem := try_connection(LOOPBACK, self.broker_port, self._authority.file):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the home's broker: {problem}")
            time.sleep(0.1)

    def _report(self):
        """Publish as the sensors do, again and again: a stored message would be of unknown age."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.tls_set_context(ssl.create_default_context(cafile=str(self._authority.file)))
        client.connect(LOOPBACK, self.broker_port)
        client.loop_start()
        while not self._stop.wait(_EVERY_S):
            for topic, content in MESSAGES.items():
                client.publish(topic, json.dumps(content))
        client.loop_stop()


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = json.dumps({"power": 42.0}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments):
        """Nothing of it is of interest."""
