"""From sensors to windows: a kit of sensors, averages, and what is kept in an outage."""
