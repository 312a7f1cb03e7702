"""A live page of what gateways do and why, and the same as one file.

`reading` reads what gateways wrote beside their stores, `server` shows it in a process of its own,
`static` is the page: modules of JavaScript without a build step. Data flows from the gateway's
files to browsers, and nothing flows back: the page can change nothing.
"""
