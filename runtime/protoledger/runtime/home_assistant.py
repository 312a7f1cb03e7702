"""Home Assistant's MQTT discovery: what a device says about itself, never what it reads.

Off unless configured. A device publishes, retained, one configuration a value under the discovery
prefix, and one JSON object with all values under its own topic, beside its presence, which Home
Assistant takes for its availability. The access list must allow both topics (`docs/edge.md`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import Field

from protoledger.protocol.wire import topics
from protoledger.runtime.site import Model

HEALTH = "health"


class HomeAssistantConfig(Model):
    """Tell Home Assistant how this device does."""

    prefix: str = Field(
        default="homeassistant",
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="Home Assistant's discovery prefix.",
    )
    every_s: float = Field(default=30.0, ge=1, le=3600, description="Seconds between reports.")


@dataclass(frozen=True)
class Entity:
    """One value as Home Assistant shows it.

    Args:
        key: in the JSON object.
        name: for people.
        unit: as a person reads it; empty for none.
        icon: of Material Design Icons.
        diagnostic: whether it is about the device and not what the device is for.
    """

    key: str
    name: str
    unit: str = ""
    icon: str = "mdi:counter"
    diagnostic: bool = True


def health_topic(site: str, device: str) -> str:
    """Name where a device's values are.

    >>> health_topic("attic", "pi-1")
    'protoledger/v1/attic/health/pi-1'
    """
    return f"{topics.ROOT}/{site}/{HEALTH}/{device}"


def discovery(
    config: HomeAssistantConfig, site: str, device: str, model: str, entities: Iterable[Entity]
) -> list[tuple[str, bytes]]:
    """Return the retained messages (topic, payload) that announce a device's entities."""
    node = f"protoledger_{site}_{device}".replace(".", "_")
    messages = []
    for entity in entities:
        content: dict[str, object] = {
            "name": entity.name,
            "unique_id": f"{node}_{entity.key}",
            "state_topic": health_topic(site, device),
            "value_template": f"{{{{ value_json.{entity.key} }}}}",
            "icon": entity.icon,
            "expire_after": round(4 * config.every_s),
            "availability_topic": topics.topic(site, None, device),
            "payload_available": topics.ONLINE.decode(),
            "payload_not_available": topics.OFFLINE.decode(),
            "device": {
                "identifiers": [node],
                "name": f"{device} at {site}",
                "model": model,
                "manufacturer": "protoledger",
            },
        }
        if entity.unit:
            content["unit_of_measurement"] = entity.unit
        if entity.diagnostic:
            content["entity_category"] = "diagnostic"
        topic = f"{config.prefix}/sensor/{node}/{entity.key}/config"
        messages.append((topic, json.dumps(content).encode()))
    return messages


def state(values: Mapping[str, object]) -> bytes:
    """Write a device's values."""
    return json.dumps(values).encode()
