"""Shared by the tests of the command line."""

import sys

import pytest

from pellucid.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process: (status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pellucid", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return call
