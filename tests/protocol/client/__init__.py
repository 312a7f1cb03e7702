"""An edge agent written from docs/protocol.md and the vectors alone: a test of that page.

It imports nothing of the project. `python -m tests.protocol.client CONFIG.json` takes part
in a site's rounds over MQTT.
"""
