"""`protoledger bench`: one word per benchmark, each in a module loaded when it is asked for.

A benchmark is a module with a Typer `app` of one command that takes `--json FILE`. To add one, name
it in `BENCHES`.
"""

import importlib
from collections.abc import Callable

import typer

# word → (module with a Typer `app`, the line that --help shows)
BENCHES = {
    "edge": (
        "protoledger.experiments.benchmarks.edge",
        "An agent's memory, start, CPU, and what it writes to its card.",
    ),
    "sources": (
        "protoledger.experiments.benchmarks.sources",
        "CPU seconds to make and to write an emulation's data, beside numpy's and csv's own.",
    ),
    "learner": (
        "protoledger.experiments.benchmarks.learner.bench",
        "Accuracy and microseconds a sample of both modes, beside river's classifiers.",
    ),
    "streams": (
        "protoledger.experiments.benchmarks.learner.grid",
        "Accuracy over a grid of streams that nothing was tuned on; --peers: river's beside ours.",
    ),
    "ledger": (
        "protoledger.experiments.benchmarks.ledger.bench",
        "Gas of every operation and of whole runs, commits per second, time to the others.",
    ),
    "aggregation": (
        "protoledger.experiments.benchmarks.aggregation.bench",
        "CPU and bytes of a round, beside Flower's SecAgg+; --plan: what each K would cost.",
    ),
    "network": (
        "protoledger.experiments.benchmarks.network.bench",
        "Rounds per second and latency over one Mosquitto, by the number of agents.",
    ),
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Measure, and compare with what others reach.",
)


@app.callback()
def _bench() -> None:
    """Keep the benchmarks words of their own, also while there is only one."""


def _runner(word: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        bench = importlib.import_module(BENCHES[word][0]).app
        bench(args=context.args, prog_name=f"protoledger bench {word}")

    return run


for _word, (_, _summary) in BENCHES.items():
    app.command(
        _word,
        help=_summary,
        add_help_option=False,  # the benchmark shows its own
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_runner(_word))
