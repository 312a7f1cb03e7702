"""The commands `protoledger gateway`, `protoledger contracts` and `protoledger oracle`.

Each module is a Typer application that turns arguments into calls of the modules below and errors
into exit codes. Heavy modules are imported within a command, so that `--help` answers at once.
"""
