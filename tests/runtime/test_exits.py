"""On which signals a process stops."""

import os
import signal

import pytest

from protoledger.runtime.exits import on_stop


@pytest.mark.parametrize("ignored", [False, True])
def test_a_process_that_began_with_interrupts_ignored_goes_on_ignoring_them(ignored):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    heard = []
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
        on_stop(lambda number, _frame: heard.append(number))
        for number in numbers:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert heard == ([signal.SIGTERM] if ignored else list(numbers))
