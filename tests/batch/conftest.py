"""A restorer that changes nothing, and photographs for it."""

import pytest
from torch import nn

from pellucid.restoration.restorer import Restorer
from support.pictures import write_noise


@pytest.fixture
def restorer():
    return Restorer(nn.Identity())


@pytest.fixture
def picture():
    """Writes a picture of noise, which differs with its seed, and returns its path."""
    return write_noise
