"""Where sets lie."""

from pathlib import Path

from pellucid.data.benchmarks import (
    data_root,
    folder_of,
)


def test_the_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "mine"))
    assert folder_of("set12") == tmp_path / "mine/set12"
    monkeypatch.delenv("PELLUCID_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "pellucid/data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache/pellucid/data"
