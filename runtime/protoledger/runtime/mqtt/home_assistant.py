"""A device's state for Home Assistant, by its MQTT discovery; sensor readings are never published.

Off unless configured. For each value the device publishes one retained message under the discovery
prefix, which tells Home Assistant how to show the value. All values follow as one JSON object under
the device's own health topic. Home Assistant reads the device's presence topic as its availability.
The broker's access list must allow both kinds of topic (`docs/edge.md`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import Field

from protoledger.protocol.wire import topics
from protoledger.runtime.site import Model

HEALTH = "health"


class HomeAssistantConfig(Model):
    """Publish the device's state for Home Assistant."""

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
        key: key of the value in the JSON object.
        name: name that Home Assistant shows.
        unit: unit that Home Assistant shows; empty for none.
        icon: name in Material Design Icons.
        diagnostic: whether the value concerns the device itself, not its task.
        state_class: `measurement`, or `total_increasing` for what counts up and starts over;
            Home Assistant keeps statistics of it. Empty for what is no number.
    """

    key: str
    name: str
    unit: str = ""
    icon: str = "mdi:counter"
    diagnostic: bool = True
    state_class: str = "total_increasing"


def health_topic(site: str, device: str) -> str:
    """Return the topic of a device's values.

    >>> health_topic("attic", "pi-1")
    'protoledger/v1/attic/health/pi-1'
    """
    return f"{topics.ROOT}/{site}/{HEALTH}/{device}"


def discovery(
    config: HomeAssistantConfig,
    site: str,
    device: str,
    model: str,
    entities: Iterable[Entity],
    below: str | None = None,
) -> list[tuple[str, bytes]]:
    """Return the retained messages (topic, payload) that announce a device's entities.

    Args:
        config: of this device.
        site: its site's name.
        device: its id.
        model: what it is, for people.
        entities: its values.
        below: the device that Home Assistant shows it below: the site's gateway for an agent.
    """
    node = _node(site, device)
    about = {
        "identifiers": [node],
        "name": f"{device} at {site}",
        "model": model,
        "manufacturer": "protoledger",
        "sw_version": version("protoledger"),
        **({} if below is None else {"via_device": _node(site, below)}),
    }
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
            "device": about,
            "origin": {"name": "protoledger", "sw_version": version("protoledger")},
        }
        if entity.state_class:
            content["state_class"] = entity.state_class
        if entity.unit:
            content["unit_of_measurement"] = entity.unit
        if entity.diagnostic:
            content["entity_category"] = "diagnostic"
        topic = f"{config.prefix}/sensor/{node}/{entity.key}/config"
        messages.append((topic, json.dumps(content).encode()))
    return messages


def _node(site: str, device: str) -> str:
    return f"protoledger_{site}_{device}".replace(".", "_")


def state(values: Mapping[str, object]) -> bytes:
    """Encode a device's values as one JSON object."""
    return json.dumps(values).encode()
