"""Runs `protoledger site` in an empty folder: a test has `site = fixture(site_command)`."""

import os

from typer.testing import CliRunner

from protoledger.emulator.sites import cli


def site_command(tmp_path, monkeypatch):
    """Give a function that runs the command, and returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)

    def run(*arguments, typed=None):
        done = CliRunner().invoke(cli.app, [str(one) for one in arguments], input=typed)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    yield run
    os.umask(before)


def init(site, name="house", *more):
    """Make a site of three of the kit climate."""
    return site("init", name, "--broker", "localhost", "--kit", "climate", *more)


def approve(site, house, *ids, more=("--yes",)):
    """Approve the requests of some devices, or of all."""
    names = ids or [folder.name for folder in sorted((house / "devices").iterdir())]
    files = [house / "devices" / name / "request.json" for name in names]
    return site("approve", "--site", house, *more, *files)
