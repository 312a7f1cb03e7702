"""What the guest does for the host, run by systemd: sets the machine up, then step after step.

The host names a step by a JSON object on a line of the port `orders`. The guest tells about it by
JSON objects, each on a line of the console; everything else that appears there is for people.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, "/opt/pi")
from kits import run_kit
from overlays import Overlays
from power import run_power
from simulator import Pin
from telling import Orders, begin, end, tell

ENVIRONMENT = {
    "PATH": "/opt/protoledger/current/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PYTHONPATH": "/opt/pi",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TERM": "dumb",  # the console goes to a file
    "COLUMNS": "100",
}
MODULES = ("virtio_net", "virtio_console", "gpio_sim")
BENCH = "/etc/bench/agent.yaml"
HELD = ("dtoverlay=dht11,gpiopin=22",)  # a pin that the kernel holds
PYTEST = ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no")
PROGRAMS = {
    "pins": (*PYTEST, "/opt/pi/check_pins.py"),
    "dht": (*PYTEST, "/opt/pi/check_dht.py"),
    "check": ("protoledger", "edge", "check", "-c", BENCH),
    "read": ("protoledger", "edge", "read", "--once", "-c", BENCH),
}
STEP_LIMIT_S = 900
AGENT_LIMIT_S = 1800
MOVE_EVERY_S = 0.5
MOTION, BUTTONS = 23, (17, 27)  # as in the agent's file


def run(*command):
    subprocess.run(command, env=ENVIRONMENT, check=True)


def bring_up():
    # from here on the kernel's warnings alone: its lines would break ours
    Path("/proc/sys/kernel/printk").write_text("4")
    for module in MODULES:
        run("modprobe", module)
    run("udevadm", "settle")
    run("ip", "link", "set", "lo", "up")
    (card,) = (path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo")
    # no route: all that the guest can reach is the host's loopback, which QEMU shows as 10.0.2.2
    run("ip", "address", "add", "10.0.2.15/24", "dev", card)
    run("ip", "link", "set", card, "up")


def run_program(name):
    with Overlays(HELD):
        try:
            code = subprocess.run(
                PROGRAMS[name], env=ENVIRONMENT, timeout=STEP_LIMIT_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    return {"code": code}


def run_agent(orders):
    """Run the agent, move in front of its sensors, and stop it when the host says so."""
    began = time.monotonic()
    agent = subprocess.Popen(["protoledger", "edge", "run", "-c", BENCH], env=ENVIRONMENT)
    motion, buttons, pressed = Pin(MOTION), [Pin(number) for number in BUTTONS], False
    while agent.poll() is None and time.monotonic() - began < AGENT_LIMIT_S:
        if orders.next():
            break
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
    return {"code": code, "stopped_s": stopped_s, "memory_kb": memory_kb}


def memory(pid):
    """What the process holds of memory, and held at most, in kB; empty if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return {}
    fields = (line.split()[:2] for line in lines if line.startswith(("VmHWM", "VmRSS", "Rss")))
    return {name.rstrip(":"): int(kilobytes) for name, kilobytes in fields}


def do(order, orders):
    name = order["step"]
    began = begin(name)
    try:
        match name.partition(" ")[0]:
            case "agent":
                told = run_agent(orders)
            case "kit":
                told = run_kit(order, orders)
            case "power":
                told = run_power(order, orders)
            case _:
                told = run_program(name)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the host must learn of it
        traceback.print_exc(file=sys.stdout)
        told = {"code": None, "error": repr(error)}
    end(name, began, told)


def main():
    os.environ.update(ENVIRONMENT)
    bring_up()
    orders = Orders()
    tell("up", seconds=round(time.monotonic(), 1), machine=os.uname().machine)
    while True:
        order = orders.next()
        if order is None or order["step"] == "stop":  # one that came after the step's end
            time.sleep(0.1)
        elif order["step"] == "off":
            run("systemctl", "poweroff")
        else:
            do(order, orders)


if __name__ == "__main__":
    main()
