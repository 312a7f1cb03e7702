"""Connections to the MQTT broker.

A `Link` is one client: it publishes, and it turns what paho reports into events (`LinkUp`,
`LinkDown`, `Arrived`, `Refused`). A `LinkLoop` drives any number of links in one thread and returns
their events in order. Bytes go in and out here; `protoledger.protocol` decides what they mean.
"""

from protoledger.runtime.mqtt.client import Arrived, Link, LinkDown, LinkEvent, LinkUp, Refused
from protoledger.runtime.mqtt.loop import LinkLoop

__all__ = ["Arrived", "Link", "LinkDown", "LinkEvent", "LinkLoop", "LinkUp", "Refused"]
