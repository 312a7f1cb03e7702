"""Puts recorded results into the documentation, between markers, so that nobody types a figure.

    <!-- figures: NAME -->
    …
    <!-- /figures -->

What stands between is what `BLOCKS[NAME]` makes of the files in docs/results. `make figures` writes
it again after each run; a test compares. A cell that a recorded run lacks is a dash. Between

    <!-- unrecorded: NAME -->
    …
    <!-- /unrecorded -->

stands what a person typed of a run that left no record; the first record takes its place.
"""

import re
from collections.abc import Callable
from pathlib import Path

import benches  # beside this file
from tables import (
    DASH,
    MEASURED,
    RESULTS,
    ROOT,
    Column,
    Recorded,
    measured,
    number,
    part,
    plain_table,
    recorded,
    share,
    table,
    thousands,
    whole,
)

MARKED = re.compile(
    r"^<!-- (?P<state>figures|unrecorded): (?P<name>[\w-]+) -->\n"
    r"(?P<old>.*?)^<!-- /(?P=state) -->$",
    re.MULTILINE | re.DOTALL,
)
__all__ = ["BLOCKS", "MARKED", "MEASURED", "RESULTS", "filled", "pages", "write"]


def gas() -> str:
    """Return gas and commits of one gateway and of four."""
    one, four = {"gateways": "1"}, {"gateways": "4"}
    columns = [
        Column("gas, 1 gateway", thousands("gas_k"), one),
        Column("4 gateways", thousands("gas_k"), four),
        Column("commits, 1", number("commits"), one),
        Column("4", number("commits"), four),
        Column("gas a commit", thousands("gas_a_commit_k", 1), four),
    ]
    return table(recorded("gas"), ("data", "transactions"), columns)


def threshold() -> str:
    """Return accuracy, gas and commits of each commit test."""
    accuracy, spent, commits = share("accuracy"), thousands("gas_k"), number("commits")
    columns = [
        Column(
            test if test == "always" else f"{test}, α = {alpha}",
            lambda p: f"{accuracy(p)}, {spent(p)}, {commits(p)}",
            {"test": test} if test == "always" else {"test": test, "alpha": alpha},
        )
        for test, alpha in [
            *(("e-process", alpha) for alpha in ("0.001", "0.05", "0.5")),
            *(("mcnemar", "0.05"), ("interval", "0.05"), ("always", "")),
        ]
    ]
    return table(recorded("threshold"), ("data",), columns)


def difference() -> str:
    """Return what sites that differ have alone and with others."""
    columns = [
        Column("alone", number("alone")),
        Column("here", number("here")),
        Column("worst site", number("worst")),
        Column("worst with 30 rows", number("worst_known")),
        Column("chosen on other rows", number("worst_unchosen")),
        Column("standard error", number("error")),
        Column("anywhere alone", number("anywhere_alone")),
        Column("anywhere", number("anywhere")),
        Column("kappa-temporal alone", number("kappa_alone", 2)),
        Column("with others", number("kappa", 2)),
    ]
    return table(recorded("difference"), ("data", "difference"), columns)


AIMS = {
    ("image-segments", "iid", "10"): ".955",
    ("phishing", "iid", "10"): ".905",
    ("bananas", "iid", "10"): ".882",
    ("image-segments", "Dirichlet 0.3", "4"): ".955",
    ("phishing", "Dirichlet 0.3", "4"): ".900",
    ("bananas", "Dirichlet 0.3", "4"): ".880",
}
"""Accuracies that `scale` is to reach, by data, dealt and gateways."""


def scale() -> str:
    """Return accuracies of the ways to merge, by the number of gateways."""

    def aim(point: Recorded) -> str:
        return AIMS.get((point.keys["data"], point.keys["dealt"], point.keys["gateways"]), "")

    union = {"way": "union"}
    columns = [
        Column("aim", aim),
        Column("union", number("accuracy", 3, half=True), union),
        Column("commits", number("commits"), union),
        Column("alone", share("alone"), union),
        Column("replace", share("accuracy"), {"way": "replace"}),
        Column("learn", share("accuracy"), {"way": "learn"}),
    ]
    rows = ("data", "dealt", "gateways")
    return table(recorded("scale"), rows, columns, order=("dealt", "gateways", "data"))


def scale_others() -> str:
    """Return accuracies of ways that others published, by the number of gateways."""
    ways = ("union", "filtered", "gossip", "gossip-all", "median", "krum", "foolsgold", "flame")
    columns = [Column(way, share("accuracy"), {"way": way}) for way in ways]
    columns.append(Column("union here, own mix", share("own"), {"way": "union"}))
    return table(recorded("scale"), ("data", "dealt", "gateways"), columns)


def _poison(begins: str, *, honest: bool) -> list[Recorded]:
    return [
        point
        for point in recorded("poison")
        if point.keys["begins"] == begins and (point.keys["attack"] == "honest") == honest
    ]


def _defences(measure: str, words: str) -> list[Column]:
    return [
        Column(f"{words}: {how}", number(measure, half=True), {"defence": how})
        for how in ("off", "on")
    ]


_DEFENCES = ("on", "median", "krum", "foolsgold", "flame", "gossip")


def _own() -> list[Column]:
    on = {"defence": "on"}
    return [
        Column("here less alone: on", number("own", half=True), on),
        Column("at the worst site: on", number("own_worst"), on),
    ]


def poison_turns() -> str:
    """Return what a gateway that turns costs the others."""
    columns = [*_defences("at_once", "at once"), *_defences("after_10", "after 10 rounds"),
               _defences("rounds", "rounds to within a point")[1], *_own()]  # fmt: skip
    return table(_poison("turns", honest=False), ("data", "dealt", "attack"), columns)


def poison_others() -> str:
    """Return what a gateway that turns costs with others' defences, after 10 rounds."""
    ways = (*_DEFENCES, "off")
    columns = [Column(way, number("after_10"), {"defence": way}) for way in ways]
    return table(_poison("turns", honest=False), ("data", "dealt", "attack"), columns)


def poison_start() -> str:
    """Return what a gateway costs that is bad from the start."""
    columns = [*_defences("after_10", "after 10 rounds"),
               _defences("rounds", "rounds to within a point")[1], *_own()]  # fmt: skip
    return table(_poison("from the start", honest=False), ("data", "dealt", "attack"), columns)


def poison_honest() -> str:
    """Return what each defence costs without an attack."""
    columns = [
        Column(f"defence {way}" if way in {"off", "on"} else way, number("reference"),
               {"defence": way})
        for way in ("off", *_DEFENCES)
    ]  # fmt: skip
    return table(_poison("turns", honest=True), ("data", "dealt"), columns)


def ways() -> str:
    """Return what each way of sharing reaches and sends."""
    columns = [
        Column("accuracy", share("accuracy")),
        Column("here, own mix", share("own")),
        Column("worst site", share("worst_site")),
        Column("alone", share("alone")),
        Column("commits", number("commits")),
        Column("codebooks sent straight", number("messages")),
        Column("kB", number("bytes_k")),
        Column("gas", thousands("gas_k")),
    ]
    return table(recorded("ways"), ("data", "dealt", "way"), columns)


def many() -> str:
    """Return what sites of many know, and what drawing owners costs them."""
    columns = [
        Column("prototypes of all", number("prototypes", 0)),
        Column("alone", share("alone")),
        Column("at most 256", share("at_256")),
        Column("1,024", share("at_1024")),
        Column("4,096 (default)", share("accuracy")),
        Column("all", share("all")),
    ]
    return table(recorded("many"), ("data", "dealt", "gateways"), columns)


def consensus() -> str:
    """Return networks of several owners beside each other, a column each."""
    chains = {
        "anvil": "Anvil", "geth": "`geth --dev`", "clique": "Clique, four signers",
        "avalanche": "Avalanche, five validators",
    }  # fmt: skip
    points = {point.keys["chain"]: point for point in recorded("consensus")}

    def seconds(*measures: str, digits: int) -> Callable[[Recorded], str]:
        def show(point: Recorded) -> str:
            cells = [number(measure, digits)(point) for measure in measures]
            return DASH if DASH in cells else f"{', '.join(cells)} s"

        return show

    def idle(point: Recorded) -> str:
        core = point.mean["cpu_percent"]
        disk = number("disk_mb_day", 0)(point)
        return (
            f"{number('memory_mb', 0)(point)} MB, {core:.{1 if core >= 0.1 else 2}f} %, "
            f"{disk if disk == '0' else f'{disk} MB a day'}"
        )

    def on_the_way(point: Recorded) -> str:
        return f"{share('on_the_way')(point)}, {number('commits', 0)(point)}"

    rows = {
        "until another's copy, median and 95 %": seconds("copy_s", "copy_95_s", digits=2),
        "commits a second, four owners": number("commits_s"),
        "accuracy on the way, commits": on_the_way,
        "validators killed that it survives": number("kills_survived", 0),
        "another's copy with one killed": seconds("one_killed_s", digits=2),
        "going on after all are back": seconds("back_s", digits=1),
        "idle: memory, core, disk of each validator": idle,
    }
    heads = ["", *(title for name, title in chains.items() if name in points)]
    shown = [points[name] for name in chains if name in points]
    return plain_table(heads, [[n, *map(show, shown)] for n, show in rows.items()], left=1)


EMULATIONS = ("house", "phishing", "image-segments", "bananas")


def emulations() -> str:
    """Return what emulations of each source came to."""
    heads = (
        "source", "samples", "accuracy, 3 sites", "on a site's held-out rows", "anywhere, on all",
        "commits, of these used elsewhere before the last round", "rounds failed", "gas",
    )  # fmt: skip
    rows = []
    for source in EMULATIONS:
        said = measured(f"emulate-{source}")
        shares = ("accuracy", "holdout_accuracy", "holdout_accuracy_anywhere")
        rows.append([
            source, whole(said["samples"]), *(f"{100 * said[name]:.1f}" for name in shares),
            f"{said['commits']}, {said['commits_used']}", str(said["rounds_failed"]),
            whole(said["gas_used"]),
        ])  # fmt: skip
    return plain_table(heads, rows)


def streams() -> str:
    """Return the learners' accuracies on streams that nothing was tuned on, and their means."""
    ours = ("same label", "reference", "prototypes", "improved")
    found = measured("streams")["streams"]
    rows = []
    for stream, said in found.items():
        kappa = f"{said['kappa-temporal']:.3f}".replace("-", "−").replace("0.", ".", 1)
        rows.append([stream, *(part(said[name]) for name in ours), kappa])
    means = [sum(said[name] for said in found.values()) / len(found) for name in ours]
    rows.append([f"**mean of {len(found)}**", *(f"**{part(mean)}**" for mean in means), ""])
    return plain_table(("stream", *ours, "kappa-temporal"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "gas": gas,
    "threshold": threshold,
    "difference": difference,
    "scale": scale,
    "scale-others": scale_others,
    "poison-turns": poison_turns,
    "poison-start": poison_start,
    "poison-others": poison_others,
    "poison-honest": poison_honest,
    "emulations": emulations,
    "streams": streams,
    "ways": ways,
    "many": many,
    "consensus": consensus,
    **benches.BLOCKS,
}


def filled(text: str, *, lenient: bool = False) -> str:
    """Return a page with the recorded figures between its markers.

    Args:
        text: the page.
        lenient: leave as it is what has no record yet, or one that lacks what the table shows.

    Raises:
        KeyError: a marker has a name that `BLOCKS` lacks, or a record lacks a part.
        FileNotFoundError: something that stands between `figures` was not recorded.
    """

    def block(match: re.Match[str]) -> str:
        make = BLOCKS[match["name"]]
        try:
            made = make()
        except (FileNotFoundError, KeyError):  # no record, or one of older code, which lacks a part
            if match["state"] == "figures" and not lenient:
                raise
            return match[0]
        return f"<!-- figures: {match['name']} -->\n\n{made}\n<!-- /figures -->"

    return MARKED.sub(block, text)


def pages() -> list[Path]:
    """Return the pages that have markers."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [path for path in sorted(found) if MARKED.search(path.read_text(encoding="utf-8"))]


def write() -> list[Path]:
    """Fill all pages with what is recorded; return those that changed."""
    changed = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := filled(text, lenient=True)) != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed
