"""Print pip's settings as uv's environment variables, one NAME=VALUE a line.

pip merges its files (`/etc/pip.conf` among them) and its PIP_ variables; only `pip config list`
shows all that it found, `pip config get` does not. A variable of uv that is set already is left as
it is.
Where pip names no certificate it trusts those of the system, so uv is set to do so too.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

# pip: a later one overrides an earlier one, within its files and among these
SECTIONS = ("global", "install", ":env:")
NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
}
OLD_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}


def read(listed: str) -> dict[str, str]:
    """Read what `pip config list` prints, such as `global.index-url='…'`."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        if section in found:
            found[section][key.removeprefix("default-")] = str(ast.literal_eval(value))
    return {key: value for section in SECTIONS for key, value in found[section].items()}


def for_uv(settings: dict[str, str]) -> dict[str, str]:
    """Translate; lists are separated by white space for pip, by spaces or commas for uv."""
    variables = {}
    for key, name in NAMES.items():
        words = settings.get(key, "").split()
        if key == "find-links":  # pip warns of a folder that is not there, uv fails
            words = [word for word in words if "://" in word or Path(word).is_dir()]
        if words:
            variables[name] = ("," if key == "find-links" else " ").join(words)
    if "UV_INDEX" in variables:
        # As pip does: any index may have the file whose hash is in the lock.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "SSL_CERT_FILE" not in variables:
        variables["UV_SYSTEM_CERTS"] = "true"
    return variables


def main() -> None:
    """Ask the pip of this interpreter."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, value in for_uv(read(done.stdout)).items():
        if not (os.environ.get(name) or os.environ.get(OLD_NAMES.get(name, ""))):
            sys.stdout.write(f"{name}={value}\n")


if __name__ == "__main__":
    main()
