"""The machine whose pins and kernel files the drivers read: a Pi, or one in memory."""
