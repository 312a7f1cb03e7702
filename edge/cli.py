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


@app.callback()
def _edge() -> None:
    """Keep `run` a word of its own while it is the only one."""


@app.command()
def run(config: Configs) -> None:
    """Read the sensors and take part in rounds until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        host = AgentHost([Agent(load(path, AgentConfig)) for path in config])
    except (ConfigurationError, SensorError) as error:
        typer.echo(f"protoledger edge: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    host.run()
