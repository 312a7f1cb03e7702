"""Where the readings of an emulation come from.

A source is the made-up house (`house`), a data set that comes with a package (`packaged`) or a CSV
file (`csv_source`); `catalogue` opens one by what was typed after `--source`. `dealing` divides its
rows among sites and agents and holds some out for the final accuracy. `recordings` writes what each
agent will read as a CSV file, which the agent's `replay` sensors then read.
"""
