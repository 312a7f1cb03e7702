"""What every test stands on: it measures no machine, and an interrupt reaches the children."""

import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# on a busy machine an example may take any time; CI's own profile stays what this builds on
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("any-machine"), max_examples=10)
settings.load_profile("any-machine")

# Started by nohup or as a job of a script, the suite ignores these, and children would inherit it;
# some tests send them to theirs. Where there is a handler, exec gives each child the default.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

_LIMIT = sys.getrecursionlimit()


def pytest_runtest_setup() -> None:
    """Undo what a test module's own `import eth_account` does; see contracts.recursion."""
    sys.setrecursionlimit(_LIMIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that take minutes take them: the limit is for what ought to be short."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("long", "pi", "fleet")):
            item.add_marker(pytest.mark.timeout(0))
