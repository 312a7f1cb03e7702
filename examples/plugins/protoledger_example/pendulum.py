"""A source of rows: a pendulum that swings, and whether it is left or right."""

import numpy as np

from protoledger.emulator.sources.catalogue import TableSource
from protoledger.emulator.sources.csv_source import CsvTable

ROWS = 2_000
PERIOD_ROWS = 37.0


class Pendulum(TableSource):
    """A table that is computed; `TableSource` deals its rows and holds some out."""

    def __init__(self) -> None:
        angle = 2 * np.pi * np.arange(ROWS) / PERIOD_ROWS
        place, speed = np.sin(angle), np.cos(angle)
        values = np.column_stack((place, speed))
        table = CsvTable(("place", "speed"), ("left", "right"), values, (place > 0).astype(int))
        super().__init__("pendulum", table)
