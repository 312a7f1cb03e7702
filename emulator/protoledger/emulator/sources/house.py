"""A small physical model of rooms: people come and go, and air, warmth and light follow.

Each site is one room of a different house: its size, airtightness, orientation, heating and habits
differ (`protoledger.emulator.sources.house_rooms`). A window is ten minutes of simulated time, so a
short run covers days. With n people in a window, volume V, and a air changes per hour (leaks, and
an opened window while people find the air bad):

- CO2, mass balance: dC/dt = −a (C − C_out) + n G / V, C_out = 420 ppm, G = 0.018 m³/h a person
  (5 ml/s sitting; Persily and de Jonge, "Carbon dioxide generation rates for building occupants",
  Indoor Air 27 (2017)).
- Moisture, mass balance of vapour density: dv/dt = −a (v − v_out) + n W / V, W = 50 g/h a person
  (ASHRAE Handbook Fundamentals, heat gain from occupants, seated). Relative humidity is v over the
  saturation density e_s(T) / (R_v T), R_v = 461.5 J/(kg K),
  e_s = 611.2 Pa · exp(17.62 T / (243.12 + T)) (Magnus; WMO Guide no. 8).
- Temperature, one heat capacity: c dT/dt = (U + ρ c_p a V) (T_out − T) + 75 W · n + heating + sun,
  with ρ c_p = 1206 J/(m³ K); 75 W is a sitting person's sensible heat (ASHRAE, ibid.). Heating is
  proportional to what the set point lacks, up to a limit.
- Light: a daylight factor of the light outside, plus a lamp that people turn on when it is dark and
  may leave on.

Within a window the inputs are constant, so each balance dx/dt = −k (x − x_∞) has the exact solution
x_∞ + (x₀ − x_∞) e^(−k t), and its mean over the window is what the room shows.
"""

import math

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import DealError
from protoledger.emulator.sources.dealing import DealPlan, Dealt, RowSource, SiteRows
from protoledger.emulator.sources.house_rooms import (
    WINDOW_H,
    Room,
    daylight_in,
    draw_room,
    people_in,
)
from protoledger.emulator.sources.house_sensors import observe
from protoledger.protocol.wire.schema import Channel

CHANNELS = (
    Channel("co2", "ppm", 350.0, 3350.0, 0.05),
    Channel("temperature", "°C", 5.0, 35.0, 0.0005),
    Channel("humidity", "%", 0.0, 100.0, 0.002),
    Channel("light", "lx", 0.0, 2000.0, 0.05),
)
LABELS = ("empty", "occupied")

_CO2_OUT_PPM = 420.0
_CO2_PERSON_M3_H = 0.018
_VAPOUR_PERSON_G_H = 50.0
_HEAT_PERSON_W = 75.0
_AIR_J_M3_K = 1206.0
# Windows are shut when the air is as fresh as this; the heater is full on at this lack.
_FRESH_PPM = 700.0
_FULL_HEAT_K = 1.5

# Purposes of `DealPlan.generator`; 13 and 14 are in `house_sensors`.
_ROOM = 11
_LIFE = 12


class Climate:
    """The state of a room's air, warmth and lamp, between two windows."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.co2_ppm = _CO2_OUT_PPM + 80.0
        self.vapour_g_m3 = room.vapour_out_g_m3 + 0.5
        self.warmth_c = room.set_back_c
        self.airing = self.lamp = False

    def pass_window(
        self, hour: float, people: int, day_lux: float, sun_w: float, whims: list[float]
    ) -> tuple[float, float, float, float]:
        """Compute the next window; `whims` are two random numbers that decide what people do.

        Returns:
            The means of `CHANNELS` over the window.
        """
        room = self.room
        self._air_and_light(people, day_lux, whims)
        changes = room.leaks_per_h + (room.airing_per_h if self.airing else 0.0)
        inflow = people / (room.volume_m3 * changes)  # of each gas: persons' sources over a V
        co2, self.co2_ppm = relax(
            self.co2_ppm, _CO2_OUT_PPM + 1e6 * _CO2_PERSON_M3_H * inflow, changes
        )
        vapour, self.vapour_g_m3 = relax(
            self.vapour_g_m3, room.vapour_out_g_m3 + _VAPOUR_PERSON_G_H * inflow, changes
        )
        warmth = self._warm(hour, changes, people, sun_w)
        lamp_lux = room.lamp_lux if self.lamp else 0.0
        return co2, warmth, 100.0 * vapour / saturation_g_m3(warmth), day_lux + lamp_lux

    def _air_and_light(self, people: int, day_lux: float, whims: list[float]) -> None:
        room = self.room
        bother, forget = whims
        if people:
            stuffy = self.co2_ppm > room.airing_ppm and bother < 0.3
            self.airing = stuffy or (self.airing and self.co2_ppm > _FRESH_PPM)
            self.lamp = self.lamp or day_lux < room.lamp_below_lux
        else:
            self.airing = False
            # A lamp that was left on stays on with the same probability in each window.
            self.lamp = self.lamp and forget < room.forgets

    def _warm(self, hour: float, changes_per_h: float, people: int, sun_w: float) -> float:
        room = self.room
        outside = room.outside_c + room.swing_k * math.sin(math.tau * (hour - 9.0) / 24.0)
        wanted = room.set_point_c if people else room.set_back_c
        lacks = max(wanted - self.warmth_c, 0.0)
        heater_w = room.heater_w * min(lacks / _FULL_HEAT_K, 1.0)
        loss = room.loss_w_k + _AIR_J_M3_K * changes_per_h * room.volume_m3 / 3600.0
        settled = outside + (_HEAT_PERSON_W * people + heater_w + sun_w) / loss
        mean, self.warmth_c = relax(self.warmth_c, settled, 3600.0 * loss / room.capacity_j_k)
        return mean


def live(
    room: Room, random: np.random.Generator, windows: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute consecutive windows of a room.

    Returns:
        Means of `CHANNELS`, float64 (windows, 4), and the classes, int64 (windows,).
    """
    people = people_in(room, random, windows)
    sky = daylight_in(room, random, windows).tolist()
    whims = random.random((windows, 2)).tolist()
    climate = Climate(room)
    rows = [
        climate.pass_window((room.start_h + window * WINDOW_H) % 24, now, day, sun, whim)
        for window, (now, (day, sun), whim) in enumerate(zip(people, sky, whims, strict=True))
    ]
    low = [channel.low for channel in CHANNELS]
    high = [channel.high for channel in CHANNELS]
    return np.clip(np.array(rows), low, high), (np.array(people) > 0).astype(np.int64)


def relax(start: float, settled: float, rate_per_h: float) -> tuple[float, float]:
    """Mean over a window, and value at its end, of dx/dt = −rate (x − settled).

    >>> relax(420.0, 420.0, 0.5)
    (420.0, 420.0)
    """
    exponent = rate_per_h * WINDOW_H
    left = start - settled
    return settled + left * -math.expm1(-exponent) / exponent, settled + left * math.exp(-exponent)


def saturation_g_m3(temperature_c: float) -> float:
    """Vapour density of saturated air.

    >>> round(saturation_g_m3(20.0), 1)
    17.2
    """
    pressure_pa = 611.2 * math.exp(17.62 * temperature_c / (243.12 + temperature_c))
    return 1000.0 * pressure_pa / (461.5 * (temperature_c + 273.15))


class HouseSource(RowSource):
    """Simulated rooms, one per site, with as many rows as are requested.

    `noise` scales the sensors' noise: at the default of 0.01 it is that of their data sheets.
    """

    name = "house"
    channels = CHANNELS
    labels = LABELS

    def deal(self, plan: DealPlan) -> Dealt:
        """Simulate each room; by default every fifth of its windows is held out."""
        if plan.rounds is None:
            raise DealError("source 'house' has no end: give --rounds a number instead of 'all'")
        shown = plan.rounds * plan.batch
        # The last window of each `holdout_every` is held out, also after the last one dealt.
        windows = shown + shown // (plan.holdout_every - 1)
        held_out = np.arange(windows) % plan.holdout_every == plan.holdout_every - 1
        sites, held = [], []
        for site in range(plan.sites):
            room = draw_room(plan.generator(_ROOM, site))
            clean, labels = live(room, plan.generator(_LIFE, site), windows)
            observed, votes = observe(plan, site, clean, labels, CHANNELS, 60.0 * WINDOW_H)
            rows = SiteRows(clean, labels, observed, votes)
            held.append(rows.take(held_out))
            sites.append(rows.take(~held_out))
        return Dealt(
            source=self.name,
            plan=plan,
            channels=self.channels,
            labels=self.labels,
            sites=tuple(sites),
            holdout_values=np.concatenate([rows.clean for rows in held]),
            holdout_labels=np.concatenate([rows.labels for rows in held]),
            holdout_sites=np.repeat(np.arange(plan.sites), held_out.sum()),
        )
