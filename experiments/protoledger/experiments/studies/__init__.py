"""The studies: one module each, with its jobs, its table and its picture.

A study defines an `EXPERIMENT` (see `protoledger.experiments.experiment`), and
`protoledger.experiments.cli` lists it. Seeds come in; CSV, Markdown and PNG files go out.
"""
