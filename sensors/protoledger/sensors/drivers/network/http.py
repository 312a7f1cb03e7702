"""A value of a document that a device serves by HTTP: Shelly, Tasmota, Home Assistant, weather.

Wiring: none. `url: http://192.168.1.20/rpc/Temperature.GetStatus?id=100`, `json_path: tC` reads a
Shelly; `url: https://HOST:8123/api/states/sensor.NAME`, `json_path: state`, `token_file: FILE`
reads an entity of Home Assistant. Several sensors with the same URL share one request.
"""

from collections.abc import Mapping
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.drivers.network.payload import PayloadOptions, number_in
from protoledger.sensors.pins.machine import HardwareSensor, Machine
from protoledger.sensors.pins.messages import Request


class HttpOptions(PayloadOptions):
    """Options of the driver `http`."""

    url: str = Field(description="What is fetched; http or https, without a user and a password.")
    token_file: str | None = Field(
        None, description="File whose first line is sent as a bearer token; https only."
    )
    ca_file: str | None = Field(
        None, description="The authority of the server's certificate; by default the system's."
    )
    timeout_s: float = Field(5.0, gt=0, le=60, description="An answer has to come in this time.")
    fresh_s: float = Field(
        1.0, ge=0, le=86_400, description="An answer of this age is used again, also by others."
    )

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fine = parts.scheme in {"http", "https"} and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            fine = False
        if not fine or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("an address is needed, such as http://192.168.1.20/status")
        if "@" in parts.netloc:
            raise ValueError("a password does not belong here: use token_file")
        return url

    @model_validator(mode="after")
    def _token_is_encrypted(self) -> Self:
        local = urlsplit(self.url).hostname in {"localhost", "127.0.0.1", "::1"}
        if self.token_file is not None and not self.url.startswith("https:") and not local:
            raise ValueError("a token would be sent in plain text: use https")
        return self

    @property
    def request(self) -> Request:
        """What is fetched."""
        return Request(self.url, self.token_file, self.ca_file, self.timeout_s, self.fresh_s)


class HttpSensor(HardwareSensor):
    """A value of a document, in the unit that its options name.

    Args:
        options: checked.
        machine: whose network is used.

    Raises:
        SensorMissing: a file of the options does not exist.
    """

    Options: ClassVar[type[DriverOptions]] = HttpOptions

    def __init__(self, options: HttpOptions, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._http = options
        self.unit = options.unit
        self._documents = self.machine.http(options.request, options.example)

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """The address, which several sensors may read."""
        assert isinstance(options, HttpOptions)  # noqa: S101 - the registry checked it
        return (Resource(options.url, "HTTP"),)

    @classmethod
    def states(cls, options: DriverOptions, /) -> Mapping[str, float]:
        """The numbers in `values`."""
        assert isinstance(options, HttpOptions)  # noqa: S101 - as above
        return options.states

    def _measure(self) -> Reading:
        with self._documents as documents:
            document = documents.get()
        return Reading(number_in(document, self._http.keys, self._http.values))

    def _release(self) -> None:
        self._documents.release()
