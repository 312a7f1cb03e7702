"""A client that writes MQTT by hand, so that it can flood, and need not read."""

import socket
import ssl

PUBLISH, PUBACK = 3, 4


def varint(number):
    out = bytearray()
    while True:
        out.append(number & 127 | (128 if number > 127 else 0))
        number >>= 7
        if not number:
            return bytes(out)


def text(value):
    return len(value).to_bytes(2, "big") + value.encode()


def packet(head, body):
    return bytes([head]) + varint(len(body)) + body


class RawClient:
    """Connected with a device's certificate, under any client id."""

    def __init__(self, where, authority, name, client_id=None):
        own = authority.client(name)
        context = ssl.create_default_context(cafile=str(authority.file))
        context.load_cert_chain(own.certificate, own.key)
        plain = socket.create_connection((where.host, where.port), timeout=60)
        self.socket = context.wrap_socket(plain, server_hostname=where.host)
        # a clean start, a long keep-alive, no property
        body = text("MQTT") + b"\5\2" + (600).to_bytes(2, "big") + b"\0" + text(client_id or name)
        self.socket.sendall(packet(0x10, body))
        assert self.receive()[0] >> 4 == 2

    def subscribe(self, topic, qos=1):
        self.socket.sendall(packet(0x82, b"\0\1\0" + text(topic) + bytes([qos])))
        assert self.receive()[0] >> 4 == 9

    @staticmethod
    def message(topic, payload, packet_id=0):
        """A PUBLISH, of QoS 1 if there is a packet id."""
        number = packet_id.to_bytes(2, "big") if packet_id else b""
        return packet(0x32 if packet_id else 0x30, text(topic) + number + b"\0" + payload)

    def acknowledge(self, body):
        """Acknowledge a PUBLISH of QoS 1 by its body."""
        size = int.from_bytes(body[:2], "big")
        self.socket.sendall(packet(0x40, body[2 + size : 4 + size]))

    def receive(self):
        """One packet: its first byte and its body. Raises OSError when the broker hangs up."""
        head, size, shift = self._read(1)[0], 0, 0
        while True:
            byte = self._read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head, self._read(size)

    def _read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the broker has hung up")
            data += more
        return data

    def close(self):
        self.socket.close()
