"""The processes of an emulated deployment, and what they need to start.

`children` starts processes, collects their events, and ends every one of them; `watchdog` does so
if the emulator itself is killed. `broker` (Mosquitto), `embedded_broker` (its replacement) and
`chain` (Anvil) are the servers, `certificates` issues their TLS certificates and the clients', and
`faulty_agents` is the process of a site's agents. Children import this package, so it imports none
of its modules.
"""
