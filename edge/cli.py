"""`protoledger edge`: the agent's commands."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.agent import Agent
from edge.config import AgentConfig
from edge.host import AgentHost
from protocol.config import load
from protocol.errors import ConfigurationError
from protocol.exits import Exit
from sensors import SensorError

app = typer.Typer(no_args_is_help=True, help="The agent on a Pi.")

Configs = Annotated[
    list[Path], typer.Option("--config", "-c", help="An agent's file; several make one process.")
]
Config = Annotated[Path, typer.Option("--config", "-c", help="The agent's file.")]
Mock = Annotated[bool, typer.Option("--mock", help="Simulate the sensors: no hardware is touched.")]
AsJson = Annotated[bool, typer.Option("--json", help="Tell it to a program.")]


@app.callback()
def _edge() -> None:
    """Keep the commands words of their own."""


@app.command()
def run(config: Configs) -> None:
    """Read the sensors and take part in rounds until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    path = config[0]
    agents: list[Agent] = []
    try:
        for path in config:
            agents.append(Agent(load(path, AgentConfig)))
    except (ConfigurationError, SensorError) as error:
        for agent in agents:
            agent.close()
        from edge.examine import examine  # noqa: PLC0415 - needed only when something is wrong

        typer.echo(examine(path).text or f"{path}: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    AgentHost(agents).run()


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
) -> None:
    """Try everything that an agent needs, and say what to do where something is wrong."""
    from edge import check as checks  # noqa: PLC0415 - `run` stays small without it
    from protocol.checks import report  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())  # the report says it better
    items = checks.check(config, mock=mock, broker=broker, sensors=sensors)
    sys.exit(report(items, as_json=as_json))
