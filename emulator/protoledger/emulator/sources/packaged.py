"""The data sets that come with the package river, read from its files.

River is not imported, which would take seconds: only its folder is looked up. The streams
are those of `river.datasets`: Phishing (UCI, 1,250 rows, 9 channels), ImageSegments (UCI Statlog,
2,310 rows, 18 channels, 7 classes) and Bananas (OpenML 1460, 5,300 rows, 2 channels), each in the
order in which river ships it.
"""

import gzip
import importlib.util
import zipfile
from collections.abc import Callable
from pathlib import Path

from protoledger.emulator.errors import DataSourceError
from protoledger.emulator.sources.csv_source import CsvTable, parse_csv


def read_packaged(name: str) -> CsvTable:
    """Read one of `PACKAGED`.

    Raises:
        DataSourceError: river is not installed, or its files have moved.
    """
    file, read = PACKAGED[name]
    try:
        return parse_csv(read(_folder() / file), f"river's {file}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataSourceError(
            f"source {name!r}: river's file {file} cannot be read ({error}): install river again"
        ) from error


def _folder() -> Path:
    spec = importlib.util.find_spec("river")
    if spec is None or not spec.submodule_search_locations:
        raise DataSourceError("this source needs the package river: install protoledger[emulator]")
    return Path(spec.submodule_search_locations[0]) / "datasets"


def _gzipped(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _segments(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("segment.csv.zip")  # the member has the archive's name


def _bananas(path: Path) -> bytes:
    """Turn libsvm lines, `-1 1:1.617466 2:-0.919233`, into CSV."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("banana.all.txt").decode("ascii").splitlines()
    rows = ["x,y,label"]
    for line in lines:
        label, *pairs = line.split()
        values = dict(pair.split(":", 1) for pair in pairs)
        # libsvm leaves zeros out.
        rows.append(f"{values.get('1', '0')},{values.get('2', '0')},{label}")
    return "\n".join(rows).encode()


PACKAGED: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "phishing": ("phishing.csv.gz", _gzipped),
    "image-segments": ("segment.csv.zip", _segments),
    "bananas": ("banana.zip", _bananas),
}
