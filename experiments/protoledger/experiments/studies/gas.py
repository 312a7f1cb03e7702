"""Gas and transactions of 1 to 4 gateways on the three streams, limited and unlimited.

The runs are those of `accuracy`; every commit is a transaction on Anvil.
"""

from dataclasses import replace

from matplotlib.figure import Figure

from protoledger.experiments.collaboration import BY_SITE
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import legend
from protoledger.experiments.studies import accuracy as exp_accuracy


def jobs(seed: int, quick: bool) -> list[exp_accuracy.Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [replace(job, on_chain=True) for job in exp_accuracy.jobs(seed, quick)]


def run(job: exp_accuracy.Job) -> list[Row]:
    """Count what a run costs."""
    played = exp_accuracy.play(job)
    gas = sum(gateway.gas for gateway in played.gateways)
    return [
        {
            "data": job.data,
            "transactions": job.transactions,
            "gateways": job.gateways,
            "accuracy": played.accuracy(),
            **played.by_site(),
            "gas_k": gas / 1000,
            "commits": played.commits,
            "gas_a_commit_k": gas / 1000 / max(played.commits, 1),
            "bytes": sum(gateway.sent_bytes for gateway in played.gateways),
        }
    ]


def draw(table: Table) -> Figure:
    """Draw gas over the number of gateways."""
    figure, axes, _ = exp_accuracy.by_gateways(table, "gas_k", "gas of all commits, thousands")
    for axis in axes:
        axis.set_yscale("log")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="gas",
    summary="Gas and transactions of the same runs, on Anvil.",
    keys=("data", "transactions", "gateways"),
    measures={
        "accuracy": "accuracy, held out",
        **BY_SITE,
        "gas_k": "gas, k",
        "commits": "commits",
        "gas_a_commit_k": "gas a commit, k",
        "bytes": "bytes of deltas",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    chain=True,
)
