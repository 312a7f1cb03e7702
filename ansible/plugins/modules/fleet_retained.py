#!/usr/bin/python
"""Ansible module: what a device left at the broker."""

DOCUMENTATION = """
module: fleet_retained
short_description: Clear a device's retained messages
description:
  - Runs on the controller. Connects with a certificate of a day, which the authority signs for the
    purpose and whose key is kept nowhere.
options:
  folder:
    description: The controller's folder, as of M(fleet_authority).
    type: path
    required: true
  host:
    description: The broker.
    type: str
    required: true
  port:
    description: Its port.
    type: int
    default: 8883
  site:
    description: The device's site.
    type: str
    required: true
  device:
    description: The device's id.
    type: str
    required: true
author: protoledger
"""

EXAMPLES = """
- name: Clear
  fleet_retained:
    folder: ~/.protoledger
    host: 192.0.2.1
    site: attic
    device: attic-pi-3
  delegate_to: localhost
"""

RETURN = """
cleared:
  description: Topics that held a message.
  returned: always
  type: list
"""

import ssl
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_pki import Authority, PkiError, private_pem, request_for, write_file
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.protocol.wire import topics
from protoledger.protocol.wire.messages import Kind

ADMINISTRATOR = "protoledger-administrator"
_ANSWER_S = 10.0
_QUIET_S = 1.0


def _context(folder: Path) -> ssl.SSLContext:
    authority = Authority(folder / "pki")
    key = ec.generate_private_key(ec.SECP256R1())
    request = request_for(key, ADMINISTRATOR)
    certificate = authority.issue(ADMINISTRATOR, request, "client", [], 1)
    context = ssl.create_default_context(cafile=str(folder / "pki/ca.crt"))
    with tempfile.TemporaryDirectory() as scratch:  # mode 0700, removed at the end
        both = Path(scratch) / "both.pem"
        write_file(both, private_pem(key) + certificate.public_bytes(Encoding.PEM), 0o600)
        context.load_cert_chain(both)
    return context


class _Cleaner:
    """Reads what is retained, and writes nothing over it."""

    def __init__(self, options: dict) -> None:
        site, device = options["site"], options["device"]
        self.topics = [topics.topic(site, kind, device) for kind in (None, Kind.KEY)]
        self.found: set = set()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=ADMINISTRATOR, protocol=mqtt.MQTTv5
        )
        self.client.tls_set_context(_context(Path(options["folder"])))
        self.client.on_message = self._take
        self.client.on_connect = self._subscribe
        self.client.connect(options["host"], options["port"])

    def _subscribe(self, client: mqtt.Client, *_rest: object) -> None:
        client.subscribe([(topic, 1) for topic in self.topics])

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.retain and message.payload:
            self.found.add(message.topic)

    def _turn(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                raise OSError("the broker closed the connection: does its access list let us in?")

    def run(self, *, dry: bool) -> list:
        until = time.monotonic() + _ANSWER_S
        while not self.client.is_connected():
            self._turn(0.1)
            if time.monotonic() > until:
                raise OSError(f"the broker does not answer within {_ANSWER_S:g} s")
        self._turn(_QUIET_S)
        found = sorted(self.found)
        for topic in found if not dry else ():
            self.client.publish(topic, b"", qos=1, retain=True)
        self._turn(_QUIET_S)
        self.client.disconnect()
        return found


def main() -> None:
    """Do what the arguments ask for."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 8883},
            "site": {"type": "str", "required": True},
            "device": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        found = _Cleaner(module.params).run(dry=module.check_mode)
        module.exit_json(changed=bool(found), cleared=found)
    except (OSError, ValueError, PkiError) as error:
        module.fail_json(msg=f"{module.params['host']}: {error}")


if __name__ == "__main__":
    main()
