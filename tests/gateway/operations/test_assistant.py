"""A gateway asks for labels where they teach most, and says what it predicts."""

import io
import json

import pytest

from protoledger.gateway.operations.assistant import Assistant, Newest
from protoledger.gateway.operations.events import EventStream
from protoledger.runtime.mqtt.home_assistant import HomeAssistantConfig

SURE = Newest("empty", unknown=False, labelled=False, margin=0.9)
UNSURE = Newest("occupied", unknown=False, labelled=False, margin=0.1)
LABELLED = Newest("occupied", unknown=False, labelled=True, margin=0.1)


@pytest.fixture
def parts():
    written, told = io.BytesIO(), []

    def make(config=None, ask_below=0.5):
        return Assistant(config, ask_below, EventStream(written), told.append)

    def events():
        return [json.loads(line) for line in written.getvalue().splitlines()]

    return make, events, told


def test_it_asks_at_each_small_margin_and_says_a_word_when_that_changes(parts):
    make, events, told = parts
    assistant = make()
    for newest in (SURE, UNSURE, None, UNSURE, LABELLED):
        assistant.take(newest, {})
    assert [(e["event"], e["prediction"], e["margin"]) for e in events()] == [
        ("ask", "occupied", 0.1)
    ] * 2
    assert told == [{"label_wanted": "yes"}, {"label_wanted": "no"}]


def test_it_never_asks_unless_it_is_told_to(parts):
    make, events, told = parts
    make(ask_below=None).take(UNSURE, {})
    assert (events(), told) == ([], [])


def test_home_assistant_hears_of_a_change_at_once_and_of_all_else_at_its_pace(parts):
    make, _, told = parts
    assistant = make(HomeAssistantConfig(every_s=3600))
    for rounds, newest in enumerate((SURE, SURE, UNSURE, UNSURE, None), 1):
        assistant.take(newest, {"rounds": rounds})
    assert [(v["prediction"], v["label_wanted"], v["rounds"]) for v in told] == [
        ("empty", "no", 1),
        ("occupied", "yes", 3),
        ("unknown", "yes", 5),
    ]


def test_what_is_unknown_is_not_told_as_a_prediction(parts):
    make, _, told = parts
    unknown = Newest("empty", unknown=True, labelled=False, margin=0.0)
    make(HomeAssistantConfig(), ask_below=None).take(unknown, {})
    assert told == [{"prediction": "unknown", "confidence": 0.0, "label_wanted": "no"}]
