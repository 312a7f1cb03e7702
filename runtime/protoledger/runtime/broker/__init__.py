"""What a site's broker must hold its clients to, derived from the roster and the terms.

Names of agents go in; who may publish and read which topic comes out of `access_list`, and how much
a client may send and the broker may keep for it out of `limits`. The emulator's Mosquitto and the
playbooks' write the same.
"""
