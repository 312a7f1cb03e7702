"""Reads what gateways wrote, in plain Python: no numpy, no pydantic, so that the page stays small.

`files` opens a gateway's history, status and ledger read-only; `learning`, `ledger`, `trust` and
`health` make of them what one tab shows; `views` puts the sites together. Whatever a file holds is
data: names and labels are handed on as text, and only the browser shows them.
"""
