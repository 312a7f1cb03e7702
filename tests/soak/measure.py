"""What is measured while the deployment runs, as rows of one CSV file.

Columns: seconds since the start, what, of which process or file, in which of its lives, the value.
"""

import csv
import time
from pathlib import Path

import psutil

COLUMNS = ("seconds", "what", "name", "life", "value")
RSS, CPU, FILES, SIZE = "rss_bytes", "cpu_seconds", "open_files", "file_bytes"
ROUNDS, FAILED, SAMPLES, FAULT = "rounds", "failed_rounds", "samples", "fault"
STORES = ("*.db", "*.db-*", "*.spent", "*.status.json", "*.history", "state.json")


class Samples:
    """Writes the CSV and keeps nothing; a run of days must not grow by its own measuring.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.began = time.monotonic()
        self._file = path.open("w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def write(self, what: str, name: str, life: int, value: float | str) -> None:
        """Write one row."""
        self._writer.writerow([f"{self.now:.1f}", what, name, life, value])

    def processes(self, pids: dict[str, int], lives: dict[str, int]) -> None:
        """Measure memory, CPU and open files of what runs."""
        for name, pid in list(pids.items()):
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    self.write(RSS, name, lives[name], process.memory_info().rss)
                    self.write(CPU, name, lives[name], round(sum(process.cpu_times()[:2]), 2))
                    self.write(FILES, name, lives[name], process.num_fds())
            except psutil.Error:
                continue  # it has just ended

    def files(self, folder: Path) -> None:
        """Measure stores, spools and logs; the logs of a process's lives together."""
        sizes: dict[str, int] = {}
        for pattern in STORES:
            for path in folder.glob(f"*/{pattern}"):
                name = f"{path.parent.name}/{path.name}".removesuffix("-wal").removesuffix("-shm")
                sizes[name] = sizes.get(name, 0) + _size(path)
        for path in folder.glob("logs/*.log"):
            name = f"logs/{life_of(path.stem)[0]}"
            sizes[name] = sizes.get(name, 0) + _size(path)
        for name, size in sorted(sizes.items()):
            self.write(SIZE, name, 0, size)


def life_of(child: str) -> tuple[str, int]:
    """Split the name of a child into that of the process and the number of its life.

    >>> life_of("site-1.agent-2-3"), life_of("site-1.agent-2"), life_of("broker-4")
    (('site-1.agent-2', 3), ('site-1.agent-2', 1), ('broker', 4))
    """
    head, _, last = child.rpartition("-")
    device = head.partition(".")[2]
    numbered = device.count("-") == 1 or device == "gateway" or "." not in child
    if head and last.isdigit() and numbered:
        return head, int(last)
    return child, 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # a file that was replaced just now
