"""A value or a label that another program publishes over MQTT, such as Zigbee2MQTT.

Wiring: none; the sensor reports to a hub or by Wi-Fi, and the home's broker has its messages. Where
the value is:

- Zigbee2MQTT: `topic: zigbee2mqtt/NAME`, `json_path: temperature` (or humidity, occupancy,
contact), `availability_topic: zigbee2mqtt/NAME/availability` if that is enabled.
- ESPHome: `topic: PREFIX/sensor/NAME/state`, no json_path; `availability_topic: PREFIX/status`.
- Tasmota: `topic: tele/NAME/SENSOR`, `json_path: SI7021.Temperature`; `availability_topic:
  tele/NAME/LWT`.
- Home Assistant's state stream: `topic: homeassistant/sensor/NAME/state`, no json_path.

A read returns the last message's value at once, and fails if that is older than `stale_after_s`. A
message that the broker had stored (retained) is of unknown age; it counts only if `retained` is
set.
"""

import time
from collections.abc import Callable, Mapping
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.drivers.network.payload import PayloadOptions, number_in
from protoledger.sensors.errors import DeviceGone, MissingValue, ReadFailed
from protoledger.sensors.pins.machine import HardwareSensor, Machine
from protoledger.sensors.pins.messages import HomeBroker, Message

_OFFLINE = frozenset(("offline", "unavailable"))


class MqttOptions(PayloadOptions):
    """Options of the driver `mqtt`."""

    host: str = Field(min_length=1, description="Name or address of the home's broker.")
    port: int | None = Field(
        None, ge=1, le=65_535, description="By default 8883 with TLS, 1883 without."
    )
    topic: str = Field(
        min_length=1, max_length=1000, description="The topic, without + and #; see above."
    )
    stale_after_s: float = Field(
        900.0, gt=0, description="An older message is no reading; longer than the sender's pauses."
    )
    retained: bool = Field(
        default=False, description="A message that the broker had stored, of any age, counts too."
    )
    availability_topic: str | None = Field(
        None, description="Topic that says offline while the device does not answer."
    )
    tls: bool = Field(default=True, description="Encrypt; false only in a network that you trust.")
    ca_file: str | None = Field(
        None, description="The authority of the broker's certificate; by default the system's."
    )
    cert_file: str | None = Field(None, description="A certificate of this client's own.")
    key_file: str | None = Field(None, description="The key of that certificate.")
    username: str | None = Field(None, description="For a broker that asks for a login.")
    password_file: str | None = Field(None, description="File whose first line is the password.")

    @field_validator("topic", "availability_topic")
    @classmethod
    def _one_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (set(topic) & set("+#\0") or not topic.isprintable()):
            raise ValueError("+ and # stand for many topics: name one")
        return topic

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or none")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file without username: give both")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("tls is false, but there are certificates: remove `tls: false`")
        return self

    @property
    def address(self) -> HomeBroker:
        """The broker and the login."""
        return HomeBroker(
            host=self.host,
            port=self.port or (8883 if self.tls else 1883),
            tls=self.tls,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            username=self.username,
            password_file=self.password_file,
        )


class MqttSensor(HardwareSensor):
    """The last value of a topic, in the unit that its options name.

    Args:
        options: checked.
        machine: whose network is used.
        clock: monotonic seconds.

    Raises:
        SensorMissing, BadOptions: a file of the login does not exist or cannot be used.
    """

    Options: ClassVar[type[DriverOptions]] = MqttOptions

    def __init__(
        self,
        options: MqttOptions,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(options, machine)
        self._mqtt = options
        self.unit = options.unit
        self._clock = clock
        self._opened_s = clock()
        self._broker = self.machine.mqtt(options.address)
        self._topics = [t for t in (options.topic, options.availability_topic) if t]
        self._broker.shared.watch(options.topic, options.example)
        if options.availability_topic is not None:
            self._broker.shared.watch(options.availability_topic, lambda _value: b"online")

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """The connection, which all sensors of this broker share."""
        assert isinstance(options, MqttOptions)  # noqa: S101 - the registry checked it
        return (Resource(f"MQTT broker {options.address}", "MQTT"),)

    @classmethod
    def states(cls, options: DriverOptions, /) -> Mapping[str, float]:
        """The numbers in `values`."""
        assert isinstance(options, MqttOptions)  # noqa: S101 - as above
        return options.states

    def _measure(self) -> Reading:
        options, broker = self._mqtt, self._broker.shared
        if options.availability_topic is not None:
            self._check_available(broker.last(options.availability_topic))
        message = broker.last(options.topic)
        if message is None:
            if trouble := broker.problem(options.topic):
                raise DeviceGone(f"the broker at {options.address}: {trouble}")
            waited = self._clock() - self._opened_s
            raise MissingValue(
                f"no message on {options.topic!r} in {waited:.0f} s: check the topic, for example "
                f"with mosquitto_sub -t '#' -v"
            )
        return Reading(self._value(message))

    def _check_available(self, message: Message | None) -> None:
        text = b"" if message is None else (message.payload or b"")[:200].lower()
        if any(word.encode() in text for word in _OFFLINE):
            raise DeviceGone(f"{self._mqtt.availability_topic!r} says that the device is offline")

    def _value(self, message: Message) -> float:
        options = self._mqtt
        age = self._clock() - message.received_s
        if message.retained and not options.retained:
            raise MissingValue(
                f"the only message on {options.topic!r} was stored before and is of unknown age: "
                "wait for the next one, or set `retained: true`"
            )
        if age > options.stale_after_s:
            trouble = self._broker.shared.problem(options.topic)
            raise DeviceGone(
                f"no message on {options.topic!r} for {age:.0f} s: "
                + (f"the broker: {trouble}" if trouble else "is the device on? Does it report as "
                   "often as stale_after_s?")
            )  # fmt: skip
        if message.payload is None:
            raise ReadFailed(f"the message on {options.topic!r} is too long: check the topic")
        return number_in(message.payload, options.keys, options.values)

    def _release(self) -> None:
        for topic in self._topics:
            self._broker.shared.unwatch(topic)
        self._broker.release()
