"""`protoledger bench`: what this project costs, next to what one would use instead.

Each benchmark is a module or a folder with a Typer `app` that takes `--json FILE`; `cli` lists
them. A figure is a ratio to something measured in the same run where there is something to
compare with, because absolute times depend on the machine.
"""
