"""One MQTT client, and a loop that drives any number of them in one thread."""
