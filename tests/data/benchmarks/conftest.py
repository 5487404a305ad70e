"""A registry of small sets."""

import hashlib

import pytest

from pellucid.data.benchmarks import (
    registry,
)
from support.benchmarks import CONTENTS, REGISTRY


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A registry of small sets, and the folder for them."""
    (tmp_path / "registry/files").mkdir(parents=True)
    (tmp_path / "registry/registry.yaml").write_text(REGISTRY)
    for name, contents in CONTENTS.items():
        lines = [f"{path}\t{len(data)}\t{hashlib.sha256(data).hexdigest()}\t" for path, data in contents.items()]
        (tmp_path / f"registry/files/{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry/registry.yaml")
    monkeypatch.setenv("PELLUCID_DATA", str(tmp_path / "data"))
    return tmp_path / "data"
