"""What every long-running process needs, and nothing of one of them: files, exits, MQTT."""
