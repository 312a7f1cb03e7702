"""What agents, gateways and reporters of outside data have in common.

A process reads its configuration (`yaml_files`, `site`) and its secrets (`key_files`,
`identity_files`), connects to the broker (`mqtt`), reports its state to systemd and Home Assistant,
and ends with an exit code (`exits`). `check` holds those parts of `edge check` and `gateway check`
that concern both. Nothing here belongs to one kind of process alone. An agent on a Pi imports all
of it, so nothing here loads a compiler, a chain client or a web stack; and this package imports
none of its modules but `exits`, because the command must answer `--help` at once.
"""

from protoledger.runtime.exits import Exit

__all__ = ["Exit"]
