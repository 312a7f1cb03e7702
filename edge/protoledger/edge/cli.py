"""`protoledger edge`: the commands that run, check and read an agent."""

import contextlib
import logging
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.host import AgentHost
from protoledger.edge.readings.slots import machine_for
from protoledger.edge.readings.windows import Windows, WindowsOpener, open_kit, open_windows
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import Schema
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import RoundConfig, load
from protoledger.sensors import SensorError

log = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, help="Run and check the agent on a Pi.")

Configs = Annotated[
    list[Path], typer.Option("--config", "-c", help="An agent's file; several make one process.")
]
Config = Annotated[Path, typer.Option("--config", "-c", help="The agent's file.")]
Mock = Annotated[bool, typer.Option("--mock", help="Simulate the sensors: no hardware is touched.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def _edge() -> None:
    """Make typer keep the commands' names even if there is only one command."""


@app.command()
def run(config: Configs, *, mock: Mock = False) -> None:
    """Read the sensors and take part in rounds until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as machines:

        def open_own(agent: AgentConfig, schema: Schema, rounds: RoundConfig) -> Windows:
            """Open an agent's sensors; simulated agents have a Pi each, as their pins are equal."""
            machine = machines.enter_context(machine_for(mock=mock))
            return open_windows(agent, schema, rounds, machine)

        agents = _open_all(config, open_own)
        AgentHost(agents, reload=partial(_read_again, config)).run()


def _read_again(paths: list[Path], agents: Mapping[str, Agent]) -> None:
    """Read the agents' files again, at SIGHUP; a file with an error changes nothing."""
    from protoledger.edge.check.agent_files import read_agent_files  # noqa: PLC0415 - rare

    for path in paths:
        found = read_agent_files(path)
        config, site, roster = found.config, found.site, found.roster
        if found.text or config is None or site is None or roster is None:
            log.error("not read again: %s", found.text)
        elif (agent := agents.get(config.id)) is None:
            log.error("%s: not read again: id: is fixed; restart the agent", path)
        elif reasons := agent.reload(config, site, roster):
            log.error("%s: not read again:\n  %s", path, "\n  ".join(reasons))
        else:
            logging.getLogger().setLevel(config.log_level.upper())
            log.info("%s: read again", path)


def _open_all(paths: list[Path], opener: WindowsOpener) -> list[Agent]:
    """Open the agents of all files; report every error of the first file that has any."""
    agents: list[Agent] = []
    for path in paths:
        try:
            loaded = load(path, AgentConfig)
            if loaded.log_level != "info":  # which `run` has set
                logging.getLogger().setLevel(loaded.log_level.upper())
            agents.append(Agent(loaded, opener=opener))
        except (ConfigurationError, SensorError) as error:
            for agent in agents:
                agent.close()
            from protoledger.edge.check import read_agent_files  # noqa: PLC0415 - only for an error

            typer.echo(read_agent_files(path).text or f"{path}: {error}", err=True)
            sys.exit(Exit.CONFIGURATION)
    return agents


@app.command()
def check(
    config: Config,
    *,
    mock: Mock = False,
    as_json: AsJson = False,
    broker: Annotated[bool, typer.Option(help="Connect to the broker.")] = True,
    sensors: Annotated[
        bool, typer.Option(help="Read the sensors; a running agent holds their pins.")
    ] = True,
    running: Annotated[
        bool, typer.Option("--running", help="Look at the agent that runs now, and at its sensors.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="With --running: seconds to wait until all is well.")
    ] = 0.0,
    since: Annotated[
        Path | None,
        typer.Option(help="With --running: a copy of the status file from before an update."),
    ] = None,
) -> None:
    """Check everything that an agent needs, and say how to correct what is wrong."""
    from protoledger.edge.check.report import check_agent  # noqa: PLC0415 - `run` stays small without it
    from protoledger.runtime.check.findings import print_report  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())  # the report shows every problem
    if running:
        from protoledger.edge.check.running import check_running  # noqa: PLC0415

        items = check_running(config, wait_s=wait, since=since)
    else:
        items = check_agent(config, mock=mock, broker=broker, sensors=sensors)
    sys.exit(print_report(items, as_json=as_json))


@app.command("calibrate")
def calibrate_sensor(
    config: Config,
    sensor: Annotated[str, typer.Argument(help="The channel, or the name of an input.")],
    *,
    reference: Annotated[
        list[float], typer.Option(help="A true value; give two, near the ends of the range.")
    ],
    unit: Annotated[str | None, typer.Option(help="Unit of the references, if it is new.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Reads at each value.")] = 10,
    mock: Mock = False,
) -> None:
    """Compare a sensor with one or two reference values, and print its calibration."""
    from protoledger.edge.check import calibration  # noqa: PLC0415

    def ask(text: str) -> None:
        typer.prompt(f"{text} Then press Enter", default="", show_default=False)

    if len(reference) > 2:
        typer.echo(f"{len(reference)} references were given: give one or two", err=True)
        sys.exit(Exit.USAGE)
    try:
        agent = load(config, AgentConfig)
        wanted = calibration.find_sensor(agent, sensor)
        with machine_for(mock=mock) as machine:
            found = calibration.compare(
                wanted,
                reference,
                samples=samples,
                pause_s=min(agent.sampling.read_every_s, 2.0),
                machine=machine,
                ask=ask,
                say=typer.echo,
            )
    except ConfigurationError as error:
        typer.echo(f"{config}: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    except (SensorError, ValueError) as error:
        typer.echo(f"{sensor}: {error}", err=True)
        sys.exit(Exit.UNAVAILABLE)
    typer.echo(f"\nPut this below the sensor in {config}:\n")
    typer.echo(calibration.lines(found, unit))


@app.command("read")
def show(
    config: Config,
    *,
    mock: Mock = False,
    as_json: AsJson = False,
    once: Annotated[bool, typer.Option("--once", help="Read once, show it, and end.")] = False,
    every: Annotated[
        float | None,
        typer.Option(min=0.05, help="Seconds between readings; default: the agent's file."),
    ] = None,
) -> None:
    """Show the sensors' readings; stop the agent first, because it holds the pins."""
    from protoledger.edge.check import show as shown  # noqa: PLC0415
    from protoledger.edge.check.agent_files import read_agent_files  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())
    found = read_agent_files(config)
    if found.config is None or found.site is None:
        typer.echo(found.text, err=True)
        sys.exit(Exit.CONFIGURATION)
    try:
        with (
            machine_for(mock=mock) as machine,
            contextlib.closing(open_kit(found.config, found.site.as_schema(), machine)) as kit,
        ):
            display = shown.Display(found.config, found.site, kit)
            if once:
                sys.exit(shown.once(display, as_json=as_json))
            every_s = every or found.config.sampling.read_every_s
            shown.follow(display, every_s, as_json=as_json)
    except (SensorError, ValueError) as error:
        typer.echo(found.text or f"{config}: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
