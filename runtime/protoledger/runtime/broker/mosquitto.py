"""Mosquitto's configuration for a site's broker: TLS, a certificate a client, an access list."""

import os

from protoledger.runtime.broker.limits import BrokerLimits


def configuration(
    listener: str,
    limits: BrokerLimits,
    *,
    authority: str,
    certificate: str,
    key: str,
    acl: str,
    revoked: str = "",
    service: bool = False,
) -> str:
    """Return the text of the configuration file.

    Args:
        listener: port, and the address to listen on if not all: `8883 127.0.0.1`.
        limits: what a client may send, and let lie.
        authority: file of the authority's certificate; relative to where Mosquitto is started.
        certificate: file of the broker's certificate.
        key: file of its private key.
        acl: file of the access list.
        revoked: file of the revoked certificates; empty for none.
        service: it is included by the configuration of Debian's service, which says where messages
            are kept and where the log goes; a value that is set twice stops Mosquitto.
    """
    lines = [
        f"listener {listener}",
        f"cafile {authority}",
        f"certfile {certificate}",
        f"keyfile {key}",
        *([f"crlfile {revoked}"] if revoked else []),
        "tls_version tlsv1.2",  # the lowest version accepted
        "require_certificate true",
        "use_identity_as_username true",
        # whatever a client calls itself: else it could take over the connections of others
        "use_username_as_clientid true",
        "allow_anonymous false",
        f"acl_file {acl}",
        "set_tcp_nodelay true",
        f"max_connections {limits.connections}",
        f"max_packet_size {limits.packet_bytes}",
        f"max_inflight_messages {limits.inflight_messages}",
        f"max_queued_messages {limits.queued_messages}",
        f"max_queued_bytes {limits.queued_bytes}",
        f"memory_limit {limits.memory_bytes}",
        "persistent_client_expiration 1h",  # the shortest; none of ours is persistent
        "sys_interval 0",
        f"connection_messages {'true' if service else 'false'}",
    ]
    if service:
        return "\n".join([*lines, ""])
    lines += ["persistence false", "log_dest stderr"]
    lines += [f"log_type {kind}" for kind in ("error", "warning", "notice")]
    if os.geteuid() == 0:
        lines.append("user root")  # otherwise it becomes a user that cannot read the files above
    return "\n".join([*lines, ""])
