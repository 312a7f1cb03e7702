"""The inputs of `protoledger.emulator.sources.house`: building, people and daylight of each room.

A room is drawn from ranges as houses have them. People arrive and leave by a two-state Markov chain
whose rates follow the hour: an office fills by day, a living room in the mornings and evenings. The
light outside follows a sinusoid of the hour, dimmed by clouds, which are a first-order
autoregression (an hour or two long), and by how the window faces the sun; 110 lm/W, the luminous
efficacy of daylight, turns it into heat.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_H = 1 / 6

_SUN_LUX = 90_000.0
_LUMEN_PER_W = 110.0
_SOLAR_FACTOR = 0.4


@dataclass(frozen=True)
class Room:
    """The parameters in which rooms differ.

    Attributes:
        office: people are present by day; otherwise in the mornings and evenings.
        start_h: hour of the day of the first window.
        volume_m3: of air.
        leaks_per_h: air changes with the windows shut.
        airing_per_h: additional air changes with a window open.
        airing_ppm: the CO2 at which people may open it.
        people: the largest number at once.
        loss_w_k: heat through the walls per kelvin.
        capacity_j_k: heat capacity of what follows the daily temperature.
        set_point_c, set_back_c: temperature that is heated to with people and without.
        heater_w: the heater's largest power.
        outside_c, swing_k: mean outdoor temperature and its day's amplitude.
        vapour_out_g_m3: outdoor vapour density.
        window_m2: glazing.
        daylight: share of the light outside that falls on a desk.
        faces_h: hour at which the sun shines straight into the window.
        lamp_lux: of the lamp.
        lamp_below_lux: daylight below which it is turned on.
        forgets: probability, in each window without people, that the lamp stays on.
    """

    office: bool
    start_h: float
    volume_m3: float
    leaks_per_h: float
    airing_per_h: float
    airing_ppm: float
    people: int
    loss_w_k: float
    capacity_j_k: float
    set_point_c: float
    set_back_c: float
    heater_w: float
    outside_c: float
    swing_k: float
    vapour_out_g_m3: float
    window_m2: float
    daylight: float
    faces_h: float
    lamp_lux: float
    lamp_below_lux: float
    forgets: float


def draw_room(random: np.random.Generator) -> Room:
    """Draw a room at random from ranges that real houses have."""
    uniform = random.uniform
    area = uniform(12.0, 35.0)
    set_point = uniform(20.0, 22.5)
    return Room(
        office=bool(random.random() < 0.5),
        start_h=uniform(6.0, 10.0),
        volume_m3=2.5 * area,
        leaks_per_h=uniform(0.6, 1.5),
        airing_per_h=uniform(2.0, 5.0),
        airing_ppm=uniform(1000.0, 1600.0),
        people=int(random.integers(2, 5)),
        loss_w_k=uniform(1.0, 2.5) * area,
        capacity_j_k=uniform(60e3, 150e3) * area,
        set_point_c=set_point,
        set_back_c=set_point - uniform(1.0, 4.0),
        heater_w=uniform(60.0, 100.0) * area,
        outside_c=uniform(2.0, 14.0),
        swing_k=uniform(2.0, 6.0),
        vapour_out_g_m3=uniform(4.5, 7.5),
        window_m2=uniform(0.08, 0.18) * area,
        daylight=uniform(0.004, 0.015),
        faces_h=uniform(8.0, 17.0),
        lamp_lux=uniform(200.0, 450.0),
        lamp_below_lux=uniform(200.0, 450.0),
        forgets=uniform(0.05, 0.4),
    )


def people_in(room: Room, random: np.random.Generator, windows: int) -> list[int]:
    """How many people are in the room, window by window."""
    people, now = [], 0
    draws = random.random((windows, 2)).tolist()
    for window, (first, second) in enumerate(draws):
        hour = (room.start_h + window * WINDOW_H) % 24
        arrivals_per_h, stay_h = _rates(hour, office=room.office)
        if now == 0:
            if first < 1 - math.exp(-arrivals_per_h * WINDOW_H):
                now = 1 + int(second * room.people)
        elif first < 1 - math.exp(-WINDOW_H / stay_h):
            now = 0
        elif second < 0.15:
            now = min(max(now + (1 if second < 0.075 else -1), 1), room.people)
        people.append(now)
    return people


def _rates(hour: float, *, office: bool) -> tuple[float, float]:
    """Arrivals an hour into the empty room, and the mean stay in hours."""
    if office:
        if 8 <= hour < 18:
            return (0.5, 0.8) if 12 <= hour < 13 else (0.8, 3.5)
        return 0.02, 0.5
    if 6.5 <= hour < 9 or 17 <= hour < 23:
        return 1.0, 3.0
    return (0.2, 1.0) if 9 <= hour < 17 else (0.02, 0.5)


def daylight_in(room: Room, random: np.random.Generator, windows: int) -> NDArray[np.float64]:
    """Daylight at a desk in lux, and the sun's heat in watts; shape (windows, 2)."""
    hour = (room.start_h + np.arange(windows) * WINDOW_H) % 24
    height = np.clip(np.sin(np.pi * (hour - 7.0) / 11.0), 0.0, None) * ((hour > 7) & (hour < 18))
    clouds, cloud = np.empty(windows), 0.0
    for window, shock in enumerate(random.standard_normal(windows).tolist()):
        cloud = 0.97 * cloud + 0.243 * shock  # keeps its deviation at 1
        clouds[window] = cloud
    clear = 0.15 + 0.85 / (1 + np.exp(2.0 * clouds))
    facing = 0.3 + 0.7 * np.exp(-(((hour - room.faces_h) / 2.5) ** 2))
    outside = _SUN_LUX * height * clear * facing
    heat = _SOLAR_FACTOR * room.window_m2 * outside / _LUMEN_PER_W
    return np.stack([np.minimum(room.daylight * outside, 1500.0), heat], axis=1)
