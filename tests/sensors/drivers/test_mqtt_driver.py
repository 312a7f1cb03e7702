"""The driver `mqtt` on a real Mosquitto: payloads of real programs, logins, outages, staleness."""

import subprocess

import pytest

from protoledger import sensors
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.sensors import errors
from protoledger.sensors.drivers.network.mqtt import MqttOptions, MqttSensor
from tests.support.home_broker import HomeBroker, eventually

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")

# In the form of Zigbee2MQTT 1.40, ESPHome 2024 and Tasmota 13.
ZIGBEE_CLIMATE = (
    '{"battery":100,"humidity":46.67,"linkquality":120,"pressure":1004,"temperature":21.46,'
    '"voltage":3005,"update":{"installed_version":-1,"latest_version":-1,"state":null}}'
)
ZIGBEE_MOTION = '{"battery":91,"illuminance":12,"linkquality":87,"occupancy":true,"tamper":false}'
ZIGBEE_CONTACT = '{"battery":100,"contact":false,"linkquality":102,"voltage":3015}'
TASMOTA = (
    '{"Time":"2024-05-01T12:00:00","SI7021":{"Temperature":20.4,"Humidity":51.2,"DewPoint":10.0},'
    '"TempUnit":"C"}'
)
ESPHOME = "412.50"


@pytest.fixture
def broker(tmp_path):
    started = HomeBroker(tmp_path, ["allow_anonymous true"])
    started.start()
    yield started
    started.stop()


def opened(broker, topic, **more):
    options = {"host": "127.0.0.1", "port": broker.port, "tls": False, "topic": topic, **more}
    return sensors.open_sensor("mqtt", options)


def read_when_published(broker, topic, payload, **more):
    with opened(broker, topic, **more) as sensor:

        def published():
            broker.publish(topic, payload)
            return sensor.read()

        return eventually(published).value


@pytest.mark.parametrize(
    ("topic", "payload", "options", "value"),
    [
        ("zigbee2mqtt/bedroom", ZIGBEE_CLIMATE, {"json_path": "temperature"}, 21.46),
        ("zigbee2mqtt/bedroom", ZIGBEE_CLIMATE, {"json_path": "humidity"}, 46.67),
        ("zigbee2mqtt/hall", ZIGBEE_MOTION, {"json_path": "occupancy"}, 1.0),
        ("zigbee2mqtt/hall", ZIGBEE_MOTION, {"json_path": "occupancy", "values": {"true": 2}}, 2),
        ("zigbee2mqtt/door", ZIGBEE_CONTACT, {"json_path": "contact"}, 0.0),
        ("tele/office/SENSOR", TASMOTA, {"json_path": "SI7021.Temperature"}, 20.4),
        ("tele/office/SENSOR", TASMOTA, {"json_path": ["SI7021", "Humidity"]}, 51.2),
        ("esp/sensor/co2/state", ESPHOME, {"unit": "ppm"}, 412.5),
        ("esp/binary_sensor/pir/state", "ON", {}, 1.0),
        ("homeassistant/sensor/x/state", "21.3", {}, 21.3),
        ("homeassistant/person/x/state", "not_home", {"values": {"home": 1, "not_home": 0}}, 0.0),
    ],
)  # fmt: skip
def test_payloads_of_real_programs_are_read(broker, topic, payload, options, value):
    assert read_when_published(broker, topic, payload, **options) == value


def test_sensors_of_one_broker_share_a_connection_and_see_only_their_topics(broker):
    with opened(broker, "a", json_path="t") as one, opened(broker, "a", json_path="h") as two:
        assert one._broker.shared is two._broker.shared
        eventually(lambda: broker.publish("a", '{"t": 1, "h": 2}') or (one.read() and two.read()))
        assert (one.read().value, two.read().value) == (1.0, 2.0)
        one.close()
        assert two.read().value == 2.0, "the other one stays connected"
        shared = two._broker.shared
    assert not shared._client.is_connected()


def test_a_stored_message_counts_only_if_it_is_allowed(broker):
    broker.publish("stored", "20", retain=True)
    with opened(broker, "stored") as strict, opened(broker, "stored", retained=True) as lenient:
        assert eventually(lenient.read).value == 20.0
        with pytest.raises(errors.MissingValue, match=r"unknown age.*retained: true"):
            strict.read()
        broker.publish("stored", "21", retain=True)
        assert eventually(strict.read).value == 21.0


def test_an_old_message_is_no_reading():
    now = [0.0]
    with sensors.SimulatedMachine() as machine:
        options = MqttOptions(host="h", topic="t", stale_after_s=60.0)
        sensor = MqttSensor(options, machine, clock=lambda: now[0])
        received = sensor._broker.shared.last("t").received_s
        now[0] = received + 60.0
        assert sensor.read().value > 0
        now[0] = received + 3600.0
        with pytest.raises(errors.DeviceGone, match=r"no message on 't' for 3.*stale_after_s"):
            sensor.read()
        sensor.close()


def test_a_device_that_says_that_it_is_offline_gives_no_reading(broker):
    for online, offline in (('{"state":"online"}', '{"state":"offline"}'), ("Online", "Offline")):
        with opened(broker, "x", availability_topic="x/availability") as sensor:
            eventually(lambda s=sensor: broker.publish("x", "5") or s.read())
            broker.publish("x/availability", offline)
            eventually(lambda s=sensor: gone(s))
            broker.publish("x/availability", online)
            assert eventually(sensor.read).value == 5.0


def gone(sensor):
    try:
        sensor.read()
    except errors.DeviceGone as error:
        return "offline" in str(error)
    return False


def test_a_broker_that_is_absent_at_the_start_and_goes_away_is_found_again(tmp_path):
    broker = HomeBroker(tmp_path, ["allow_anonymous true"])
    with opened(broker, "x") as sensor:
        with pytest.raises(errors.DeviceGone, match=str(broker.port)):
            sensor.read()
        for value in ("1", "2"):
            broker.start()
            found = eventually(
                lambda v=value: broker.publish("x", v) or (sensor.read().value == float(v))
            )
            assert found
            broker.stop()


def test_a_login_that_is_refused_is_named(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("wrong horse\n")
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "users").write_text("")
    broker = HomeBroker(folder, ["allow_anonymous false", f"password_file {folder / 'users'}"])
    broker.process = subprocess.Popen(
        [find_mosquitto(), "-c", broker.file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with opened(broker, "x", username="me", password_file=str(secret)) as sensor:
            assert "wrong horse" not in repr(sensor.options)

            def refused():
                with pytest.raises(errors.DeviceGone) as caught:
                    sensor.read()
                return "refuses the login" in str(caught.value)

            eventually(refused)
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"topic": "zigbee2mqtt/#"}, "topic"),
        ({"topic": "a/+/b"}, "topic"),
        ({"password_file": "/x"}, "username"),
        ({"cert_file": "/x"}, "key_file"),
        ({"tls": False, "ca_file": "/x"}, "tls: false"),
        ({"json_path": "a..b"}, "path"),
        ({"stale_after_s": 0.0}, "stale_after_s"),
        ({"password": "secret"}, "password_file"),
    ],
)
def test_options_that_cannot_work_are_refused(wrong, key):
    with pytest.raises(errors.BadOptions, match=key):
        sensors.open_sensor("mqtt", {"host": "h", "topic": "t", **wrong})


def test_a_file_that_is_not_there_is_named_before_anything_is_connected():
    with pytest.raises(errors.SensorMissing, match="/no/such"):
        sensors.open_sensor("mqtt", {"host": "127.0.0.1", "topic": "t", "ca_file": "/no/such"})
