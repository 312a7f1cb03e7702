"""How a running gateway is observed, and how its installation is checked.

`health` reports to systemd and writes a status file, `metrics` serves Prometheus, and `events`
writes JSON lines for the emulator: all three show what `protoledger.gateway.service` hands them and
influence nothing. `report` builds `gateway check` from the gateway's files (`gateway_files`), its
store, its compiled kernels, the broker and the chain (`chain`). The modules load different
libraries (prometheus-client, web3), so this package imports none of them.
"""
