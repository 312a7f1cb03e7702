"""What a gateway says to the people at its site: its prediction, and where a label is wanted.

Both go to Home Assistant as one message when it is configured; a wanted label is also an event, and
without Home Assistant a message of its own, which a button's program can follow.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from protoledger.gateway.operations.events import EventStream
from protoledger.runtime.mqtt.home_assistant import HomeAssistantConfig


@dataclass(frozen=True)
class Newest:
    """What the model made of the newest sample.

    Attributes:
        prediction: the label's name; None if the model has none.
        unknown: whether the prediction means nothing.
        labelled: whether the sample came with a label.
        margin: by how much the prediction led, 0 to 1.
        confidence: how often such a prediction is right, 0 to 1.
    """

    prediction: str | None
    unknown: bool
    labelled: bool
    margin: float
    confidence: float = 0.0


class Assistant:
    """Publishes the prediction and asks for labels.

    Args:
        config: how to tell Home Assistant; None: not at all.
        ask_below: below which margin a label is wanted; None: never ask.
        events: where to tell of a wanted label.
        publish: sends values as one message.
    """

    def __init__(
        self,
        config: HomeAssistantConfig | None,
        ask_below: float | None,
        events: EventStream,
        publish: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._every_s = None if config is None else config.every_s
        self._ask_below = ask_below
        self._events = events
        self._publish = publish
        self._wanted = False
        self._prediction = ""
        self._told = -math.inf

    def change(self, config: HomeAssistantConfig | None, ask_below: float | None) -> None:
        """Take up other settings."""
        self._every_s = None if config is None else config.every_s
        self._ask_below = ask_below
        self._told = -math.inf

    def take(self, newest: Newest | None, status: Mapping[str, object]) -> None:
        """Say what changed with the newest sample; None: there was nothing to predict.

        Args:
            newest: what the model made of it.
            status: further values for Home Assistant.
        """
        self._ask(newest)
        if self._every_s is not None:
            self._tell(newest, status, time.monotonic(), self._every_s)

    def _ask(self, newest: Newest | None) -> None:
        """Say where a label would teach most: an unlabelled sample whose margin is small."""
        if newest is None or self._ask_below is None:
            return
        wanted = not newest.labelled and newest.margin < self._ask_below
        if wanted:
            margin = round(newest.margin, 3)
            self._events.write("ask", prediction=newest.prediction, margin=margin)
        if wanted != self._wanted:
            self._wanted = wanted
            self._told = -math.inf
            if self._every_s is None:
                self._publish({"label_wanted": self._wish})

    def _tell(
        self, newest: Newest | None, status: Mapping[str, object], now: float, every_s: float
    ) -> None:
        """Publish a prediction that changed at once, all else at its pace."""
        known = newest is not None and not newest.unknown
        prediction = (newest.prediction if newest is not None and known else None) or "unknown"
        if prediction == self._prediction and now < self._told + every_s:
            return
        self._prediction, self._told = prediction, now
        sure = 0.0 if newest is None else round(100 * newest.confidence, 1)
        said = {"prediction": prediction, "confidence": sure, "label_wanted": self._wish}
        self._publish({**said, **status})

    @property
    def _wish(self) -> str:
        return "yes" if self._wanted else "no"
