"""Runs jobs on this machine: a process a core, and a node of its own for each, if jobs need one."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any

from protoledger.contracts.client.account import Account
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.experiments import on_chain
from protoledger.experiments.running.ending import end_with_parent, watch
from protoledger.gateway.learner.compilation import compiled


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_here(
    run: Callable[[Any], Any], jobs: Sequence[Any], *, chain: bool, processes: int
) -> Iterator[tuple[int, Any]]:
    """Run jobs in parallel; yields each one's number and result as it ends. Ctrl-C ends all.

    Workers and nodes end with this process, even if it is killed.

    Args:
        run: runs a job; called in another process.
        jobs: what to run.
        chain: whether each process needs a node.
        processes: how many there are.
    """
    compiled.load()  # children inherit it
    with ExitStack() as stack:
        nodes = _nodes(stack, processes) if chain else []
        context = get_context("fork")
        urls = context.SimpleQueue()
        for node in nodes:
            urls.put(node.url)
        pool = ProcessPoolExecutor(
            processes, context, initializer=_begin, initargs=(urls if nodes else None,)
        )
        stack.callback(pool.shutdown, cancel_futures=True)
        waiting = {pool.submit(run, job): at for at, job in enumerate(jobs)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _nodes(stack: ExitStack, processes: int) -> list[LocalNode]:
    watch()
    nodes = [stack.enter_context(LocalNode("anvil")) for _ in range(processes)]
    for node in nodes:
        node.fund(*(Account(key).address for key in on_chain.KEYS))
    return nodes


def _begin(urls: Any) -> None:
    end_with_parent()
    if urls is not None:
        on_chain.use(urls.get())
