"""Measures rounds of Flower's SecAgg+: its own workflow and client mod on a grid in memory.

`protoledger.experiments.benchmarks.aggregation.bench` runs this file in an environment that has
Flower; it prints one JSON object. The grid only passes messages on. Its own work (serialising, to
count bytes and to give each client its own copy), training and strategy are not counted, so the
figures are the protocol's computation alone. Flower's figures thus exclude the messages' envelopes,
while ours include them.

A client that drops out does so after it has shared its keys and before it sends its masked vector:
if it dropped out earlier, Flower's round would fail.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import (  # type: ignore[import-not-found]
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    RecordDict,
)
from flwr.client.mod import secaggplus_mod  # type: ignore[import-not-found]
from flwr.common import (  # type: ignore[import-not-found]
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
)
from flwr.common.serde import (  # type: ignore[import-not-found]
    recorddict_from_proto,
    recorddict_to_proto,
)
from flwr.compat.common import recorddict_compat  # type: ignore[import-not-found]
from flwr.server import LegacyContext  # type: ignore[import-not-found]
from flwr.server.compat.grid_client_proxy import (  # type: ignore[import-not-found]
    GridClientProxy,
)
from flwr.server.strategy import FedAvg  # type: ignore[import-not-found]
from flwr.server.workflow import SecAggPlusWorkflow  # type: ignore[import-not-found]
from flwr.supercore.task_identity import TaskIdentity  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
from protoledger.experiments.benchmarks.stopwatch import Stopwatch, medians

_COLLECT = 2  # the stages are setup, share keys, collect masked vectors, unmask


class Grid:
    """Passes messages to clients in this process, and returns their replies.

    Args:
        clients: number of clients.
        vector: the vector that each of them contributes.
        droppers: numbers of the clients that drop out.
        watch: counts seconds and bytes of the other clients as `client`, and of the grid as `grid`.
    """

    def __init__(
        self,
        clients: int,
        vector: "np.ndarray[tuple[int], np.dtype[np.float32]]",
        droppers: set[int],
        watch: Stopwatch,
    ) -> None:
        self.nodes = {number: 1000 + 7 * number for number in range(clients)}
        self._numbers = {node: number for number, node in self.nodes.items()}
        self._contexts = {
            node: Context(1, node, {}, RecordDict(), {}) for node in self.nodes.values()
        }
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([vector]), 1, {})
        self._results = {
            node: recorddict_compat.fitres_to_recorddict(result, keep_input=True)
            for node in self.nodes.values()
        }
        self._droppers = droppers
        self._watch = watch
        self._stage = -1

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Run the clients on their messages."""
        _ = timeout
        with self._watch.on("grid"):
            self._stage += 1
            return [self._reply(message) for message in messages]

    def _reply(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        drops = self._numbers[node] in self._droppers
        if drops and self._stage >= _COLLECT:
            return Message(Error(code=0, reason="dropped out"), reply_to=message)
        wire = recorddict_to_proto(message.content)
        own = Message(
            recorddict_from_proto(wire),
            dst_node_id=node,
            message_type=message.metadata.message_type,
            group_id=message.metadata.group_id,
        )

        def train(message: Message, _context: Context) -> Message:
            return Message(self._results[node], reply_to=message)

        with self._watch.on("dropper" if drops else "client"):
            reply = secaggplus_mod(own, self._contexts[node], train)
        size = recorddict_to_proto(reply.content).ByteSize()
        self._watch.bytes["gateway"] += size
        if not drops:
            self._watch.bytes["client"] += size
        return reply


class _Everyone(FedAvg):  # type: ignore[misc]
    """Selects all clients, and keeps the sum that the workflow has unmasked."""

    def __init__(self, proxies: list[GridClientProxy]) -> None:
        super().__init__()
        self._proxies = proxies
        self.parameters: Parameters | None = None

    def configure_fit(self, *_: object, **__: object) -> list[tuple[GridClientProxy, FitIns]]:
        return [(proxy, FitIns(Parameters([], ""), {})) for proxy in self._proxies]

    def aggregate_fit(
        self, _round: int, results: list[tuple[GridClientProxy, FitRes]], _failures: object
    ) -> tuple[None, dict[str, bool]]:
        self.parameters = results[0][1].parameters if results else None
        return None, {}


def measure(agents: int, length: int, dropouts: int, number: int) -> dict[str, float]:
    """Run one round.

    Returns:
        CPU milliseconds and bytes, per client and at the gateway.

    Raises:
        RuntimeError: if Flower did not unmask the sum.
    """
    watch = Stopwatch()
    vector = np.linspace(-1, 1, length, dtype=np.float32)
    droppers = {(number + position) % agents for position in range(dropouts)}
    grid = Grid(agents, vector, droppers, watch)
    proxies = [GridClientProxy(node, grid, 1) for node in grid.nodes.values()]
    strategy = _Everyone(proxies)
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy)
    context.state.config_records["config"] = ConfigRecord(
        {"current_round": 1, "start_time": time.monotonic()}
    )
    context.state.array_records["parameters"] = ArrayRecord()
    workflow = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=0.5, max_weight=1.0)
    with watch.on("gateway"):
        workflow(grid, context)
    if strategy.parameters is None:
        raise RuntimeError("Flower's round failed")
    staying = agents - dropouts
    return {
        "client_ms": 1000 * watch.seconds["client"] / staying,
        "gateway_ms": 1000 * watch.seconds["gateway"],
        "client_bytes": watch.bytes["client"] / staying,
        "gateway_bytes": watch.bytes["gateway"],
    }


def main() -> None:
    """Measure some rounds of one size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("agents", type=int)
    parser.add_argument("length", type=int)
    parser.add_argument("dropouts", type=int)
    parser.add_argument("repeats", type=int)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    size = given.agents, given.length, given.dropouts
    rounds = [measure(*size, number) for number in range(given.repeats)]
    sys.stdout.write(json.dumps(medians(rounds)) + "\n")


if __name__ == "__main__":
    main()
