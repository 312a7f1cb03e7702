"""`make soak HOURS=24`: a small deployment for a day, with power cuts, and what it looks like then.

    make soak HOURS=2.5               # two sites of five agents, a broker, a chain
    make soak HOURS=24 ARGS="--seed 7 --folder DIR"

Everything is a process of its own on this machine: real Mosquitto, Anvil, agents and gateways. By
a seed, processes are killed (as a power cut does), links are cut, broker and chain are restarted.
Each minute the memory of each process and the sizes of all stores, spools and logs go to a CSV
file. At the end there are a picture and a verdict (`tests.soak.verdict` has its rules). Exit code
0: all good; 1: something is not.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from protoledger.emulator.errors import ChildDied
from protoledger.emulator.processes.children import ChildEvent, Children
from protoledger.runtime.exits import Exit
from tests.soak import faults, plot, verdict
from tests.soak.deployment import RETRY_S, Deployment
from tests.soak.links import Links
from tests.soak.measure import FAILED, FAULT, ROUNDS, SAMPLES, Samples
from tests.soak.rounds import Told, chain_findings

MINUTE_S, LEAST_SAMPLES = 60.0, 120
GRACE_S = 30.0
"""Longer than the units allow: a machine that is busy with other things must not fail a soak."""


class Soak:
    """One run.

    Args:
        deployment: what runs.
        planned: the faults.
        samples: where measurements go.
        seconds: how long.
    """

    def __init__(self, deployment: Deployment, planned, samples: Samples, seconds: float):
        self._deployment, self._samples, self._seconds = deployment, samples, seconds
        self.told = Told(deployment)
        self.died: list[str] = []
        self.kills: Counter[str] = Counter()
        self._due = [(fault.at_s, number, fault) for number, fault in enumerate(planned)]
        self._again: list[tuple[float, str, str]] = []

    def run(self) -> None:
        """Let it run to its end."""
        measured = 0.0
        while (now := self._samples.now) < self._seconds:
            while self._due and self._due[0][0] <= now:
                self._break(self._due.pop(0)[2])
            for entry in [one for one in self._again if one[0] <= now]:
                self._again.remove(entry)
                self._repair(*entry[1:])
            self._listen(min(1.0, self._seconds - now))
            if now >= measured:
                measured = now + min(MINUTE_S, self._seconds / LEAST_SAMPLES)
                self._measure()
        self._measure()

    def _listen(self, patience_s):
        try:
            event = self._deployment.children.wait_any(patience_s)
        except ChildDied as error:
            self._on_death(error)
            return
        if isinstance(event, ChildEvent):
            self.told.take(self._deployment.role(event.name), event.data, self._samples.now)

    def _on_death(self, error):
        """What systemd would do."""
        name = self._deployment.role(error.name)
        self._deployment.pids.pop(name, None)
        self.died.append(f"{error.name} ended with {error.returncode}")
        if error.returncode not in {Exit.USAGE, Exit.CONFIGURATION}:
            self._again.append((self._samples.now + RETRY_S, "start", name))

    def _break(self, fault):
        self._samples.write(FAULT, fault.target, 0, f"{fault.kind}, {fault.lasts_s:.0f} s")
        end = self._samples.now + fault.lasts_s
        if fault.kind == faults.CUT:
            self._deployment.links.cut(fault.target)
            self._again.append((end, "join", fault.target))
            return
        if fault.target not in self._deployment.pids:
            return  # it has ended by itself and will be started again
        if fault.kind == faults.KILL:
            self.kills[fault.target] += 1
            self._deployment.kill(fault.target)
        else:
            self._deployment.stop(fault.target)
        self._again.append((end, "start", fault.target))

    def _repair(self, how, name):
        if how == "join":
            self._deployment.links.join(name)
        elif name not in self._deployment.pids:
            self._deployment.start(name)

    def _measure(self):
        deployment, samples = self._deployment, self._samples
        samples.processes(deployment.pids, deployment.starts)
        samples.files(deployment.folder)
        for gateway in deployment.gateways:
            samples.write(ROUNDS, gateway, 0, self.told.completed[gateway])
            samples.write(FAILED, gateway, 0, self.told.failed[gateway])
            samples.write(SAMPLES, gateway, 0, self.told.samples[gateway])


def main(words: list[str]) -> int:
    """Soak, judge, draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="default: .soak/TIME")
    chosen = parser.parse_args(words)
    folder = chosen.folder or Path(".soak") / time.strftime("%Y-%m-%dT%H%M%S")
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True)
    seconds = 3600 * chosen.hours
    with Children(folder / "logs", grace_s=GRACE_S) as children, Links() as links:
        deployment = Deployment(folder, children, links, seconds, chosen.seed)
        planned = faults.draw(
            seconds,
            chosen.seed,
            agents=deployment.agents,
            gateways=deployment.gateways,
            spared=deployment.spared,
        )
        say(f"{chosen.hours:g} hours in {folder}: {faults.shown(planned)}")
        deployment.begin()
        samples = Samples(folder / "samples.csv")
        soak = Soak(deployment, planned, samples, seconds)
        soak.run()
        ended = samples.now
        samples.close()
        findings = chain_findings(deployment, soak.told)
    quiet_from = seconds - min(faults.QUIET_S, seconds / 5)
    findings = [*soak.told.findings(ended, quiet_from, soak.kills), *findings]
    died = verdict.Finding(not soak.died, f"processes: {soak.died or 'none ended by itself'}")
    return tell(folder, [died, *findings], soak)


def tell(folder: Path, findings: list[verdict.Finding], soak: Soak) -> int:
    """Print the verdict, draw the picture; returns the exit code."""
    rows = verdict.read(folder / "samples.csv")
    findings += verdict.growth_findings("memory", verdict.memory(rows))
    findings += verdict.growth_findings("files", verdict.files(rows))
    findings += verdict.tracebacks(folder / "logs")
    plot.draw(rows, folder / "soak.png")
    lines = [f"{'✓' if one.good else '✗'} {one.text}" for one in findings]
    lines += ["", "failed rounds, by reason:"]
    lines += [f"  {count} × {reason}" for reason, count in soak.told.reasons.most_common(5)]
    lines += ["", "most frequent lines of the logs:"]
    lines += [f"  {count} × {line}" for count, line in verdict.frequent(folder / "logs")]
    lines += ["", f"measurements: {folder / 'samples.csv'}; picture: {folder / 'soak.png'}"]
    text = "\n".join(lines) + "\n"
    (folder / "verdict.txt").write_text(text, encoding="utf-8")
    say(text)
    return 0 if all(one.good for one in findings) else 1


def say(text: str) -> None:
    """Print for a person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
