"""What `edge check` and `gateway check` share: findings, a device's files, the broker."""
