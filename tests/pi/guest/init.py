#!/usr/bin/python3 -S
"""The guest's first process: brings the machine up, goes through the steps, switches it off.

Tells the host about each step by a JSON object on a line of the console; everything else that
appears there is for people. The host says when the agent has run for long enough by a line on the
port `orders`.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, "/opt/pi")
from simulator import Pin

ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PYTHONPATH": "/opt/protoledger:/opt/packages:/opt/pi",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TERM": "dumb",  # the console goes to a file
    "COLUMNS": "100",
}
MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"))
MODULES = ("virtio_mmio", "virtio_net", "virtio_console", "gpio_sim", "dht11")
CONFIGURATION = "/etc/protoledger/agent.yaml"
PROTOLEDGER = ("python3", "-m", "protoledger")
PYTEST = ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no")
STEPS = (
    ("pins", (*PYTEST, "/opt/pi/check_pins.py")),
    ("dht", (*PYTEST, "/opt/pi/check_dht.py")),
    ("check", (*PROTOLEDGER, "edge", "check", "-c", CONFIGURATION)),
    ("read", (*PROTOLEDGER, "edge", "read", "--once", "-c", CONFIGURATION)),
)
STEP_LIMIT_S = 900
AGENT_LIMIT_S = 1800
MOVE_EVERY_S = 0.5
MOTION, BUTTONS = 23, (17, 27)  # as in the agent's file


def tell(event, **fields):
    print("\n" + json.dumps({"event": event, **fields}), flush=True)


def run(*command):
    subprocess.run(command, env=ENVIRONMENT, check=True)


def bring_up():
    for kind, place in MOUNTS:
        Path(place).mkdir(exist_ok=True)
        run("mount", "-t", kind, kind, place)
    Path("/tmp").mkdir(exist_ok=True)
    # from here on the kernel's warnings alone: its lines would break ours
    Path("/proc/sys/kernel/printk").write_text("4")
    for module in MODULES:
        run("modprobe", module)
    run("ip", "link", "set", "lo", "up")
    (card,) = (path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo")
    # no route: all that the guest can reach is the host's loopback, which QEMU shows as 10.0.2.2
    run("ip", "address", "add", "10.0.2.15/24", "dev", card)
    run("ip", "link", "set", card, "up")


def begin(name):
    print(f"\n== {name}")
    tell("begin", step=name)
    return time.monotonic()


def step(name, command):
    began = begin(name)
    try:
        code = subprocess.run(
            command, env=ENVIRONMENT, timeout=STEP_LIMIT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        code = None
    tell("end", step=name, code=code, seconds=round(time.monotonic() - began, 1))


def run_agent():
    """Run the agent, move in front of its sensors, and stop it when the host says so."""
    orders = os.open("/dev/vport0p1", os.O_RDONLY | os.O_NONBLOCK)
    began = begin("agent")
    agent = subprocess.Popen([*PROTOLEDGER, "edge", "run", "-c", CONFIGURATION], env=ENVIRONMENT)
    motion, buttons, pressed = Pin(MOTION), [Pin(number) for number in BUTTONS], False
    while agent.poll() is None and time.monotonic() - began < AGENT_LIMIT_S:
        try:
            if os.read(orders, 16):
                break
        except BlockingIOError:
            pass
        pressed = not pressed
        (motion.high if pressed else motion.low)()
        for button in buttons:
            (button.low if pressed else button.high)()
        time.sleep(MOVE_EVERY_S)
    memory_kb = memory(agent.pid)
    asked = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    code = agent.wait(timeout=60)
    stopped_s = round(time.monotonic() - asked, 2)
    seconds = round(asked - began, 1)
    tell("end", step="agent", code=code, seconds=seconds, stopped_s=stopped_s, memory_kb=memory_kb)


def memory(pid):
    """What the process holds of memory, and held at most, in kB; empty if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return {}
    fields = (line.split()[:2] for line in lines if line.startswith(("VmHWM", "VmRSS", "Rss")))
    return {name.rstrip(":"): int(kilobytes) for name, kilobytes in fields}


def switch_off():
    os.sync()
    power_off = 0x4321FEDC
    ctypes.CDLL(None).reboot(ctypes.c_int(power_off))


def main():
    try:
        bring_up()
        tell("up", seconds=round(time.monotonic(), 1), machine=os.uname().machine)
        for name, command in STEPS:
            step(name, command)
        run_agent()
        tell("done")
    except BaseException:  # noqa: BLE001 - whatever it is, the host must learn of it
        traceback.print_exc()
        tell("broken")
    finally:
        switch_off()


if __name__ == "__main__":
    main()
