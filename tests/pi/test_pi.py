"""The Pi's software on arm64 Debian in QEMU: real edges through the kernel, lgpio and gpiozero.

`docs/testing-on-arm.md` says what the tests prove and what they do not.
"""

import json

import pytest

from tests.pi.pi_site import AGENTS, CHANNELS, PI, STEPS_OF_FULL_SCALE, SUM

pytestmark = pytest.mark.pi

ROUNDS = 10


def assert_passed(guest, step):
    code = guest.do(step)["code"]
    if code != 0:
        pytest.fail(f"the step {step!r} in the guest ended with {code}", pytrace=False)


def test_it_is_a_64_bit_arm_machine(guest):
    assert guest.up["machine"] == "aarch64"


def test_buttons_and_motion_sensors_get_real_edges(guest):
    assert_passed(guest, "pins")


def test_the_dht_driver_finds_its_board_and_its_pin(guest):
    assert_passed(guest, "dht")


def test_edge_check_finds_nothing_wrong(guest):
    assert_passed(guest, "check")


def test_edge_read_shows_each_sensor(guest):
    assert_passed(guest, "read")
    shown = "\n".join(guest.shown_by("read"))
    assert all(channel in shown for channel in CHANNELS)


def test_the_agent_takes_part_in_rounds_with_what_its_pins_saw(deployment):
    guest, site, _kits = deployment
    pi = AGENTS.index(PI)

    def with_pi():
        return [event for event in guest.rounds if pi in event["included"]]

    site.start_others()
    guest.order("agent")
    guest.wait("the agent's start", lambda: "agent" in guest.begun)
    site.start_gateway()
    guest.wait(f"{ROUNDS} rounds with the Pi", lambda: len(with_pi()) >= ROUNDS)
    sums = [dict(zip(SUM, event["sums"], strict=True)) for event in with_pi()]
    for event, total in zip(with_pi(), sums, strict=True):
        print(f"round {event['round']}: {len(event['included'])} agents,", json.dumps(total))
        # the others see nothing (and read nothing, if the next round comes at once)
        assert max(total["motion"], total["pressed"]) <= STEPS_OF_FULL_SCALE
        assert total["absent"] < len(event["included"])
        assert total["present"] <= 1
    for what in ("motion", "pressed", "present"):
        assert sum(total[what] > 0 for total in sums) > ROUNDS // 2, f"{what}: {sums}"
    guest.order("stop")
    assert guest.wait_for_end("agent")["code"] == 0
