"""`protoledger bench NAME`: runs a benchmark; only its module is imported.

A benchmark is a module with a Typer `app` of one command that takes `--json FILE`. To add one, list
it in `BENCHES`.
"""

import importlib
from collections.abc import Callable

import typer

# word → (module with a Typer `app`, the line that --help shows)
BENCHES = {
    "edge": (
        "protoledger.experiments.benchmarks.edge",
        "An agent's memory, start-up time, CPU time, and bytes written to its SD card.",
    ),
    "sources": (
        "protoledger.experiments.benchmarks.sources",
        "CPU seconds to make and to write an emulation's data, beside numpy's and csv's own.",
    ),
    "learner": (
        "protoledger.experiments.benchmarks.learner.bench",
        "Accuracy and time per sample of both learners, compared with river's classifiers.",
    ),
    "streams": (
        "protoledger.experiments.benchmarks.learner.grid",
        "Accuracy over a grid of streams that nothing was tuned on; --peers: river's beside ours.",
    ),
    "ledger": (
        "protoledger.experiments.benchmarks.ledger.bench",
        "Gas of every operation and of whole runs, commits per second, time until merged.",
    ),
    "aggregation": (
        "protoledger.experiments.benchmarks.aggregation.bench",
        "CPU time and bytes of a round, compared with Flower's SecAgg+ and with Prio3.",
    ),
    "privacy": (
        "protoledger.experiments.benchmarks.privacy",
        "What differential privacy of the sums costs in accuracy, for a site file.",
    ),
    "network": (
        "protoledger.experiments.benchmarks.network.bench",
        "Rounds per second and latency over one Mosquitto, for 10 to 1,000 agents.",
    ),
    "growth": (
        "protoledger.experiments.benchmarks.growth.bench",
        "How judging, voting, following the ledger and a round grow with owners and agents.",
    ),
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Measure speed, traffic and gas, and compare them with other projects.",
)


@app.callback()
def _bench() -> None:
    """Make typer keep the benchmarks' names even if there is only one."""


def _runner(word: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        bench = importlib.import_module(BENCHES[word][0]).app
        bench(args=context.args, prog_name=f"protoledger bench {word}")

    return run


for _word, (_, _summary) in BENCHES.items():
    app.command(
        _word,
        help=_summary,
        add_help_option=False,  # the benchmark shows its own help
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_runner(_word))
