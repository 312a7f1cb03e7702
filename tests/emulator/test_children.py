"""Children that misbehave in every way a process can; none may survive its starter."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from protoledger.emulator.errors import ChildDied, EmulatorError
from protoledger.emulator.processes.children import (
    LINE_LIMIT_BYTES,
    QUEUE_LIMIT,
    SERVERS,
    ChildEvent,
    Children,
    Ended,
)
from protoledger.emulator.processes.watchdog import TOKEN_VARIABLE
from protoledger.runtime.broker.access_list import NameRefusedError

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('{\"ready\": 1}', flush=True); time.sleep(60)"
)
# One grandchild stays in the group, the other leaves it for a session of its own.
FORKS = """
import os, subprocess, sys, time, json
nap = [sys.executable, "-c", "import time; time.sleep(60)"]
a = subprocess.Popen(nap)
b = subprocess.Popen(nap, start_new_session=True)
print(json.dumps({"pids": [os.getpid(), a.pid, b.pid]}), flush=True)
time.sleep(60)
"""


def python(code):
    return [sys.executable, "-c", code]


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def children(tmp_path):
    with Children(tmp_path / "logs", grace_s=2.0) as started:
        yield started


def test_events_arrive_in_order_and_other_lines_go_to_the_log(children, tmp_path):
    code = """
import sys
for i in range(5): print('{"i": %d}' % i)
print("not json"); print("[1]"); print("{broken"); print('"text"')
print("to stderr", file=sys.stderr)
"""
    children.start("talker", python(code), may_end=True)
    got = [children.wait_any(60) for _ in range(6)]
    assert got == [*(ChildEvent("talker", {"i": i}) for i in range(5)), Ended("talker", 0)]
    log = (tmp_path / "logs" / "talker.log").read_text()
    for line in ("not json", "[1]", "{broken", '"text"', "to stderr"):
        assert line in log
    assert children.wait_any(0.05) is None


def test_a_dead_child_is_told_with_its_last_lines_after_its_last_event(children):
    code = """
import sys
for i in range(40): print("line", i, file=sys.stderr)
print('{"last": true}', flush=True); sys.exit(7)
"""
    children.start("site-1.gateway", python(code))
    assert children.wait_any(60) == ChildEvent("site-1.gateway", {"last": True})
    with pytest.raises(ChildDied) as caught:
        children.wait_any(60)
    assert (caught.value.name, caught.value.returncode) == ("site-1.gateway", 7)
    assert caught.value.last_lines == tuple(f"line {i}" for i in range(25, 40))
    assert "site-1.gateway ended with exit code 7" in str(caught.value)


def test_exit_code_0_is_a_death_too_unless_allowed(children):
    children.start("broker", python("pass"))
    with pytest.raises(ChildDied, match="exit code 0"):
        children.wait_any(60)


def test_a_signal_is_named(children):
    pid = children.start("victim", python("import time; time.sleep(60)"))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match="by signal 9"):
        children.wait_any(60)


def test_chatter_of_others_does_not_hide_a_death(children):
    chatter = "import itertools\nfor i in itertools.count(): print('{\"i\": %d}' % i)"
    children.start("chatter", python(chatter))
    children.start("dead", python("raise SystemExit(3)"))

    def listen(seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            children.wait_any(1)

    with pytest.raises(ChildDied, match="dead ended with exit code 3"):
        listen(15)


def test_a_killed_child_is_no_failure(children):
    pid = children.start("agent", python("import time; time.sleep(60)"))
    children.kill("agent")
    assert gone(pid)
    assert children.wait_any(5) == Ended("agent", -signal.SIGKILL)
    children.kill("agent")  # a second time does nothing


def test_stop_all_kills_who_ignores_sigterm(tmp_path):
    with Children(tmp_path, grace_s=0.3) as children:
        pid = children.start("deaf", python(IGNORES_SIGTERM))
        assert children.wait_any(60) == ChildEvent("deaf", {"ready": 1})
    assert gone(pid)


def test_grandchildren_end_too_even_outside_the_group(tmp_path):
    with Children(tmp_path, grace_s=0.3) as children:
        children.start("parent", python(FORKS))
        pids = children.wait_any(60).data["pids"]
        assert not any(gone(pid) for pid in pids)
    assert all(gone(pid) for pid in pids)


def test_grandchildren_end_when_their_parent_ended_by_itself(tmp_path):
    code = FORKS.replace("time.sleep(60)\n", "sys.exit(0)\n")
    with Children(tmp_path) as children:
        children.start("parent", python(code), may_end=True)
        pids = children.wait_any(60).data["pids"]
        assert isinstance(children.wait_any(60), Ended)
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("line", ["x" * 100, '{"a": 1}', "{" * 5000])
def test_a_flood_costs_no_memory_nor_the_stop(tmp_path, line):
    code = f"import sys\nline = {line!r}\nwhile True: print(line)"
    with Children(tmp_path, grace_s=2.0) as children:
        pid = children.start("flood", python(code))
        time.sleep(1.0)
        assert children._events.qsize() <= QUEUE_LIMIT
    assert gone(pid)
    assert (tmp_path / "flood.log").stat().st_size < 20_000_000


def test_a_line_without_end_is_cut(children):
    spaces = 2 * LINE_LIMIT_BYTES + 500_000
    code = (
        f"import sys\nsys.stdout.write('{{' + ' ' * {spaces} + '}}\\n')\nprint('{{\"after\": 1}}')"
    )
    children.start("long", python(code), may_end=True)
    assert children.wait_any(60) == ChildEvent("long", {"after": 1})


def test_servers_are_stopped_after_workers(tmp_path):
    code = """
import os, signal, sys, time
def end(*_):
    # not print: the signal may come while the line below is still being printed
    os.write(1, f"ended {time.monotonic()!r}\\n".encode())
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('{"ready": 1}', flush=True)
while True: time.sleep(1)
"""
    slow = code.replace("def end(*_):\n", "def end(*_):\n    time.sleep(0.5)\n")
    with Children(tmp_path) as children:
        children.start("broker", python(code), layer=SERVERS)
        children.start("agent", python(slow))
        for _ in range(2):
            assert isinstance(children.wait_any(60), ChildEvent)
    ended = {n: float((tmp_path / f"{n}.log").read_text().split()[1]) for n in ("broker", "agent")}
    assert ended["agent"] < ended["broker"]


def test_names_are_checked(children):
    children.start("one", python("import time; time.sleep(60)"))
    for name in ("one", "../up", "", "a/b", "x" * 65):
        with pytest.raises((EmulatorError, NameRefusedError)):
            children.start(name, python("pass"))


def test_a_missing_program_is_an_os_error_and_leaves_nothing(children):
    with pytest.raises(FileNotFoundError):
        children.start("nobody", ["/does/not/exist"])
    assert children.running() == []


def test_nothing_is_started_outside_the_block(tmp_path):
    with Children(tmp_path) as children:
        pass
    with pytest.raises(EmulatorError, match="outside"):
        children.start("late", python("pass"))


PARENT = """
import sys, time
from pathlib import Path
from protoledger.emulator.processes.children import Children
code = sys.argv[2]
with Children(Path(sys.argv[1]), grace_s=0.5) as children:
    children.start("child", [sys.executable, "-c", code])
    print(children.wait_any(60).data["pids"], flush=True)
    while True:
        children.wait_any(1)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_process_survives_its_starter(tmp_path, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), FORKS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        pids = [int(pid) for pid in parent.stdout.readline().strip(b"[]\n").split(b",")]
        assert not any(gone(pid) for pid in pids)
        parent.send_signal(number)
        code = parent.wait(60)
    finally:
        parent.kill()
        parent.stdout.close()
    expected = {signal.SIGKILL: -9, signal.SIGINT: -2}.get(number, 128 + number)
    assert code == expected
    wait_until(lambda: all(gone(pid) for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_was_ignored_before_stays_ignored_until_sigterm(tmp_path, number):
    ignoring = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", ignoring + PARENT, str(tmp_path), FORKS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        pids = [int(pid) for pid in parent.stdout.readline().strip(b"[]\n").split(b",")]
        parent.send_signal(number)
        parent.send_signal(signal.SIGTERM)
        code = parent.wait(60)
    finally:
        parent.kill()
        parent.stdout.close()
    assert code == 128 + signal.SIGTERM
    wait_until(lambda: all(gone(pid) for pid in pids))


def test_a_deployment_inside_a_deployment_is_swept_too(tmp_path):
    with Children(tmp_path / "outer", grace_s=0.3) as children:
        inner = [sys.executable, "-c", PARENT, str(tmp_path / "inner"), FORKS]
        children.start("inner", inner)
        log = tmp_path / "outer" / "inner.log"
        wait_until(lambda: log.exists() and b"]" in log.read_bytes())
        pids = [int(pid) for pid in log.read_text().strip("[]\n").split(",")]
        children.kill("inner")  # no chance to clean up: its own watchdog does
    wait_until(lambda: all(gone(pid) for pid in pids))


def test_the_watchdog_ends_with_its_deployment(tmp_path):
    with Children(tmp_path) as children:
        dog = children._watchdog.pid
        assert TOKEN_VARIABLE not in psutil.Process(dog).environ()
    assert gone(dog)
