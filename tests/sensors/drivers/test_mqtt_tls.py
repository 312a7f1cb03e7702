"""The driver `mqtt` over TLS: a real Mosquitto that shows, and may ask for, a certificate."""

import pytest

from protoledger import sensors
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.sensors import errors
from tests.support.home_broker import HomeBroker, eventually
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path / "tls")


@pytest.fixture
def start(tmp_path, authority):
    """Start a broker: messages go in by one port without TLS, and out by `tls_port` with it."""
    brokers = []

    def begin(*lines, names=("localhost", "127.0.0.1")):
        shown = authority.server(names)
        port = free_port()
        tls = [f"listener {port} 127.0.0.1", f"cafile {authority.file}",
               f"certfile {shown.certificate}", f"keyfile {shown.key}"]  # fmt: skip
        broker = HomeBroker(tmp_path, ["allow_anonymous true", *tls, *lines])
        broker.tls_port = port
        broker.start()
        brokers.append(broker)
        return broker

    yield begin
    for broker in brokers:
        broker.stop()


def opened(broker, **more):
    options = {"host": "127.0.0.1", "port": broker.tls_port, "topic": "t", **more}
    return sensors.open_sensor("mqtt", options)


def value(broker, **more):
    with opened(broker, **more) as sensor:
        return eventually(lambda: broker.publish("t", "21.5") or sensor.read()).value


def refused(broker, **more):
    """Read until the error names TLS, or give the last one."""
    with opened(broker, **more) as sensor:

        def failing():
            broker.publish("t", "21.5")
            try:
                sensor.read()
            except errors.SensorError as error:
                return "ca_file" in str(error) and str(error)
            raise AssertionError("a reading came over a connection that had to be refused")

        return eventually(failing)


def test_a_broker_with_the_home_s_certificate_is_read(start, authority):
    assert value(start(), ca_file=str(authority.file)) == 21.5


def test_a_broker_whose_authority_is_unknown_is_refused(start, tmp_path):
    broker = start()
    other = CertificateAuthority(tmp_path / "other")
    assert refused(broker, ca_file=str(other.file))
    assert refused(broker)  # the system's authorities


def test_a_certificate_for_another_name_is_refused(start, authority):
    assert refused(start(names=("hub.example",)), ca_file=str(authority.file))


def test_a_broker_may_ask_for_a_certificate(start, authority):
    broker = start("require_certificate true")
    mine = authority.client("sensor")
    own = {"cert_file": str(mine.certificate), "key_file": str(mine.key)}
    assert value(broker, ca_file=str(authority.file), **own) == 21.5
    with opened(broker, ca_file=str(authority.file)) as sensor:
        for _ in range(20):
            broker.publish("t", "21.5")
            with pytest.raises(errors.SensorError):
                sensor.read()


def test_a_broker_without_tls_is_not_talked_to_in_plaintext(start, authority):
    broker = start()
    with opened(broker, ca_file=str(authority.file), port=broker.port) as sensor:
        for _ in range(20):
            broker.publish("t", "21.5")
            with pytest.raises(errors.SensorError):
                sensor.read()
