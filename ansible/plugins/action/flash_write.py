"""Ansible action: write an image to a card, and show how far it is.

A module's output is seen when it ends; this runs in the controller and can tell meanwhile.
"""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    """Runs `flash_card.py write`, as root, and relays its progress.

    Arguments of the task: `script`, `device`, `image`, `sha256`, `sha256_file`, `signature`,
    `keyring`, `data_gib`, `largest_gib`, `fixed`. With `-K`, or `ansible_become_password`, sudo may
    ask for a password.
    """

    _requires_connection = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write, unless in check mode."""
        result = super().run(tmp, task_vars)
        given = self._task.args
        if self._task.check_mode:
            return {**result, "changed": True, "skipped": True}
        password = self._play_context.become_pass or (task_vars or {}).get(
            "ansible_become_password"
        )
        sudo = ["sudo", "--stdin", "--prompt="] if password else ["sudo", "--non-interactive"]
        command = [] if os.geteuid() == 0 else sudo
        command += [sys.executable, given["script"], "write", given["device"]]
        command += ["--image", given["image"]]
        for name in ("sha256", "sha256_file", "signature", "keyring", "data_gib"):
            if given.get(name):
                command += [f"--{name.replace('_', '-')}", str(given[name])]
        command += ["--largest-gib", str(given["largest_gib"])]
        command += ["--fixed"] if given["fixed"] else []
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(f"{password}\n" if password else "")
                    process.stdin.close()
            errors = []
            for line in process.stderr or ():
                errors.append(line.rstrip())
                Display().display(f"    {line.rstrip()}")
            output = process.stdout.read() if process.stdout else ""
        try:
            told = json.loads(output)
        except ValueError:
            message = "\n".join(errors[-5:]) or "flash_card.py printed nothing"
            return {**result, "failed": True, "msg": message}
        if "refused" in told:
            return {**result, "failed": True, "msg": told["refused"]}
        return {**result, "changed": True, **told}
