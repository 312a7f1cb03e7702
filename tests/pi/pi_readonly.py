"""The files that the role `readonly` writes for a root file system under an overlay."""

import shutil

from tests.pi.pi_playbook import fact, play, tasks, variables, written_to

LABEL = "protoledger-data"
_HOST = "pi"
_DATA = (
    "Mount the data partition", "Mount them where they belong", "Keep the journal's errors",
)  # fmt: skip
_FACTS = (
    "{'folder': readonly_folder, 'mount': readonly_folder | mount_unit, "
    "'kept': dict(readonly_kept | zip(readonly_kept | map('mount_unit')))}"
)


def write_readonly(folder, target):
    """Let the role write them, and put them in a folder of the guest's tree."""
    folder.mkdir()
    wanted = [
        *tasks(folder, "readonly", "tasks/data.yml", _DATA),
        *tasks(folder, "readonly", "tasks/main.yml", ("Put an overlay over the root file system",)),
        fact(folder, "facts.json", _FACTS),
    ]
    play(folder, {_HOST: {}}, {**variables("fleet"), **variables("readonly")}, wanted)
    shutil.copytree(written_to(folder, _HOST), target)
