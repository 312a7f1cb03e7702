"""What flash.yml writes to a card, fed to real cloud-init in a booted host."""

import pytest

from tests.fleet.golden import golden
from tests.fleet.machines import Machines
from tests.support.sd_cards import attach, detach, make_image, on_card, play

pytestmark = pytest.mark.fleet

# what Raspberry Pi OS has, and a minimal Debian has not
PACKAGES = ("cloud-init", "locales", "keyboard-configuration", "console-setup", "netplan.io")
FILES = ("user-data", "meta-data", "network-config")


@pytest.fixture
def seed(tmp_path):
    """The files that flash.yml has put on a card."""
    image = make_image(tmp_path)
    device, problem = attach(tmp_path / "card")
    if problem:
        pytest.skip(f"no loop device to be had: {problem}")
    try:
        # cloud-init's own schema knows no Wi-Fi, which it hands on to netplan as it is
        changes = {"flash_user": "keeper", "flash_wifi_ssid": "", "flash_locale": "C.UTF-8"}
        changes["flash_ssh_keys"] = ["ssh-ed25519 AAAA keeper@home"]
        done = play(tmp_path, device, image, "-e", f"confirm={device}", **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: on_card(device, name) for name in FILES}
    finally:
        detach(device)


@pytest.mark.usefixtures("boot_tools")
def test_cloud_init_makes_host_user_key_and_sudo(seed):
    with Machines(golden(), ["blank"]) as machines:
        host = machines["blank"]
        host.ssh("apt-get", "-q", "update")
        host.ssh(
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qy",
            "--no-install-recommends",
            "install",
            "cloud-init",
        )
        folder = host.root / "var/lib/cloud/seed/nocloud"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seed.items():
            (folder / name).write_text(content)
        # the test must still know the host
        keys = "ssh_deletekeys: false\nssh_genkeytypes: []\n"
        (host.root / "etc/cloud/cloud.cfg.d/99-test.cfg").write_text(keys)
        host.power_off()
        host.power_on()
        host.wait_until_up()
        told = host.ssh("cloud-init", "status", "--wait", "--long", check=False)
        assert "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]" in told, told
        # a container has no console whose keyboard could be set; all else must be right
        failed = [line for line in told.splitlines() if "ProcessExecutionError" in line]
        assert all("('keyboard'" in line for line in failed), told
        seen = host.ssh("cloud-init", "schema", "--system", check=False)
        assert "Valid schema user-data" in seen
        assert "Valid schema network-config" in seen
        assert host.ssh("hostname").strip() == "attic-pi-1"
        assert host.ssh("cat", "/home/keeper/.ssh/authorized_keys").strip().endswith("keeper@home")
        assert "NOPASSWD: ALL" in host.ssh("sudo", "--list", "--other-user=keeper")
        assert host.ssh("readlink", "/etc/localtime").strip().endswith("Europe/Madrid")
        assert "L" in host.ssh("passwd", "--status", "keeper").split()[1]
