"""A home's own Mosquitto on loopback, without TLS, and a wait for what it brings."""

import contextlib
import subprocess
import time

from paho.mqtt import publish

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.sensors import errors
from tests.support.ports import free_port


class HomeBroker:
    """A broker of its own on loopback, which can be stopped and started again."""

    def __init__(self, folder, lines):
        self.port = free_port()
        self.file = folder / "mosquitto.conf"
        self.file.write_text(f"listener {self.port} 127.0.0.1\nuser root\n" + "\n".join(lines))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [find_mosquitto(), "-c", self.file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: self.publish("ready", "1") is None)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def publish(self, topic, payload, auth=None, *, retain=False):
        with contextlib.suppress(OSError):
            return publish.single(
                topic,
                payload,
                qos=1,
                retain=retain,
                hostname="127.0.0.1",
                port=self.port,
                auth=auth,
            )
        return "not connected"


def eventually(check):
    """Wait until a check succeeds; return what it gives."""
    last = None
    for _ in range(600):
        try:
            if found := check():
                return found
        except errors.SensorError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(last)
