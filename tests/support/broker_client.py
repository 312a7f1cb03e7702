"""A client of a broker under test, which records what happens to it."""

import time

import paho.mqtt.client as mqtt


class Client:
    """A paho client that notes what happens to it."""

    def __init__(self, where, authority, client_id, certificate=None, will=None, topics=()):
        self.received, self.refused, self.acknowledged = [], [], []
        self.connected = self.why = None
        self.lost = 0
        self.paho = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5
        )
        own = authority.client(certificate or client_id)
        self.paho.tls_set(str(own.authority), str(own.certificate), str(own.key))
        if will is not None:
            self.paho.will_set(*will, qos=1, retain=True)
        self.paho.on_connect = self._on_connect
        self.paho.on_message = lambda _c, _u, m: self.received.append((m.topic, m.payload))
        self.paho.on_disconnect = lambda *_: self._on_disconnect()
        self.paho.on_publish = lambda _c, _u, _m, reason, _p: self._on_publish(reason)
        self.topics = list(topics)
        self.paho.connect(where.host, where.port, keepalive=60)
        self.paho.loop_start()

    def _on_connect(self, _client, _data, _flags, reason, _properties):
        self.connected, self.why = not reason.is_failure, reason
        if self.connected and self.topics:
            self.paho.subscribe([(name, 1) for name in self.topics])

    def _on_disconnect(self):
        self.lost += 1

    def _on_publish(self, reason):
        (self.refused if reason.is_failure else self.acknowledged).append(str(reason))

    def ready(self):
        until(lambda: self.connected)
        time.sleep(0.1)  # the subscriptions
        return self

    def publish(self, name, payload=b"x", **options):
        refused, acknowledged = len(self.refused), len(self.acknowledged)
        self.paho.publish(name, payload, qos=1, **options)
        until(lambda: len(self.refused) + len(self.acknowledged) > refused + acknowledged)
        return len(self.refused) == refused

    def vanish(self):
        """As a power cut would: no DISCONNECT, so the will is sent."""
        self.paho.reconnect_delay_set(60, 60)
        self.paho.socket().shutdown(2)

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
