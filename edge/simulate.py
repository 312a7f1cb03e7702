"""An agent without its hardware: what `--mock` reads."""

from edge.config import AgentConfig
from protocol.config import SiteConfig

_WITHOUT_PINS = {"mock", "replay"}


def simulated(config: AgentConfig, site: SiteConfig) -> AgentConfig:
    """Replace every physical sensor by one that is mocked in the middle of its channel's range."""
    channels = {channel.name: channel for channel in site.channels}

    def options(name: str, seed: int) -> dict[str, object]:
        channel = channels.get(name)
        if channel is None:
            return {"seed": seed}
        width = channel.high - channel.low
        return {
            "seed": seed,
            "unit": channel.unit,
            "level": channel.low + width / 2,
            "waveform": "sine",
            "amplitude": width / 10,
            "period_reads": 60,
        }

    sensors = tuple(
        sensor
        if sensor.driver in _WITHOUT_PINS
        else sensor.model_copy(
            update={
                "driver": "mock",
                "options": options(sensor.channel, number),
                "filters": {},
            }
        )
        for number, sensor in enumerate(config.sensors)
    )
    label = config.label
    if label is not None and label.driver not in _WITHOUT_PINS:
        label = label.model_copy(update={"driver": "mock", "options": {}, "filters": {}})
    return config.model_copy(update={"sensors": sensors, "label": label})
