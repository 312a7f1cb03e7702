"""Takes part in a site's rounds: `python -m tests.protocol.client CONFIG.json`.

The configuration has id, broker (host, port, and ca, certificate, key for TLS), roster (a path),
fleet_key, identity (a path), channels, labels, validity, numbers (the terms' ten),
rows (steps or −1 by channel, and a vote or −1, for each window from round 1 on) and spent (a path).
It prints a line for each round that it shared in or answered.
"""

import json
import os
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .packing import RefusedError
from .rounds import Agent, Terms
from .seals import BOXES, KEY, NAMES, Keys, Roster, load_identity, schema_digest, terms_digest
from .sharing import Layout


class Client:
    def __init__(self, config):
        self.config = config
        roster = Roster(Path(config["roster"]).read_text(), config["fleet_key"])
        channels, labels, numbers = config["channels"], config["labels"], config["numbers"]
        steps = [round((c["high"] - c["low"]) / c["step"]) for c in channels]
        private = [c["private"] for c in channels]
        layout = Layout(steps, len(labels), private, numbers[6])
        digest = terms_digest(schema_digest(channels, labels), config["validity"], numbers, private)
        terms = Terms(layout, digest, config["validity"], numbers)
        self.expiry = max(1, int(terms.round_s))
        identity = load_identity(bytes.fromhex(Path(config["identity"]).read_text()))
        self.agent = Agent(Keys(config["id"], identity, roster), terms, self.take)
        self.root = f"protoledger/v1/{roster.site}"
        self.me, self.gateway = config["id"], roster.gateway
        self.spent = Path(config["spent"])
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=self.me, protocol=mqtt.MQTTv5
        )
        broker = config["broker"]
        if "ca" in broker:
            self.mqtt.tls_set(broker["ca"], broker["certificate"], broker["key"])
        self.mqtt.will_set(self.topic("presence"), b"0", qos=1, retain=True)
        self.mqtt.on_connect, self.mqtt.on_message = self.connected, self.arrived
        self.mqtt.connect(broker["host"], broker["port"], keepalive=30)

    def topic(self, kind):
        return f"{self.root}/{kind}/{self.me}"

    def take(self, opening):
        """The windows of a round, spent on disk before they are given."""
        count = self.agent.terms.windows
        nothing = [([-1] * len(self.config["channels"]), -1)] * count
        first = (opening.round - 1) * count
        used = int(self.spent.read_text()) if self.spent.exists() else 0
        if opening.kept is not None or first < used:
            return nothing
        draft = self.spent.with_suffix(".new")
        with draft.open("w") as file:
            file.write(str(first + count))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.spent)
        rows = self.config["rows"][first : first + count]
        return [(values, vote) for values, vote in rows] + nothing[len(rows) :]

    def connected(self, _client, _data, _flags, _reason, _properties):
        names = [f"{self.root}/key/+", f"{self.root}/announce/{self.gateway}",
                 f"{self.root}/result/{self.gateway}",
                 f"{self.root}/deliver/{self.gateway}/{self.me}"]  # fmt: skip
        self.mqtt.subscribe([(name, 1) for name in names])
        self.publish(KEY, self.agent.keys.hello)
        self.mqtt.publish(self.topic("presence"), b"1", qos=1, retain=True)

    def publish(self, kind, payload):
        properties = None
        if kind != KEY:
            properties = Properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = self.expiry
        name = self.topic(NAMES[kind - 1])
        self.mqtt.publish(name, payload, qos=1, retain=kind == KEY, properties=properties)

    def arrived(self, _client, _data, message):
        kind, sender = message.topic.split("/")[3:5]
        if kind not in NAMES or not message.payload:
            return
        try:
            sends = self.agent.handle(NAMES.index(kind) + 1, sender, message.payload)
        except RefusedError as error:
            self.say("refused", kind, sender, error)
            return
        for sent, payload in sends:
            self.publish(sent, payload)
            if sent != KEY:
                self.deadline = time.monotonic() + self.agent.terms.round_s
                name = "shared" if sent == BOXES else "answered"
                self.say(name, self.agent.state[0].round)

    def say(self, *words):
        sys.stdout.write(" ".join(map(str, words)) + "\n")
        sys.stdout.flush()

    def run(self):
        self.deadline = 0.0
        while self.mqtt.loop(0.1) == mqtt.MQTT_ERR_SUCCESS:
            if self.agent.state is not None and time.monotonic() > self.deadline:
                self.agent.state = None


if __name__ == "__main__":
    Client(json.loads(Path(sys.argv[1]).read_text())).run()
