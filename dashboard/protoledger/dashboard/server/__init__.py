"""The page's process: `python -m protoledger.dashboard.server SETTINGS`.

`settings` says which gateways and where to listen, `stream` follows their files and hands each new
view to all browsers at once, `login` knows who may look, `headers` says what a browser may do with
a page, and `app` joins them. It imports neither numpy nor pydantic, so that it stays small;
`protoledger dashboard` reads the configuration and then becomes this process.
"""
