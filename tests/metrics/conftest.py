"""Shared by the tests of metrics."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny pictures gain nothing from threads, and wait for one another on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
