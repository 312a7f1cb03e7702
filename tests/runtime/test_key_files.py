"""Files that only their owner may read: made whole or not at all, never opened to others."""

import os

import pytest

from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.key_files import read_secret, write_secret


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("replace", [False, True])
def test_the_mode_is_0600_whatever_the_umask(tmp_path, replace):
    path = tmp_path / "key"
    write_secret(path, b"secret", replace=replace)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(path) == b"secret"
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_is_never_overwritten_unless_that_is_asked_for(tmp_path):
    path = tmp_path / "key"
    write_secret(path, b"first")
    with pytest.raises(FileExistsError):
        write_secret(path, b"second")
    assert path.read_bytes() == b"first"
    path.chmod(0o644)
    write_secret(path, b"third", replace=True)
    assert read_secret(path) == b"third"


@pytest.mark.parametrize("replace", [False, True])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, replace):
    with pytest.raises(TypeError):
        write_secret(tmp_path / "key", "text", replace=replace)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="nowhere"):
        write_secret(tmp_path / "nowhere" / "key", b"", replace=replace)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    write_secret(path, b"secret")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}") as refused:
        read_secret(path)
    assert "secret" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="missing"):
        read_secret(tmp_path / "missing")
