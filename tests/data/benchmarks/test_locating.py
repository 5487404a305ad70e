"""The folder of a set, or what to do; its pairs."""

import pytest

from pellucid.data.benchmarks import (
    locate,
    pairs,
)
from pellucid.errors import DataError
from support.benchmarks import CONTENTS, put


def test_locate_gives_the_folder_or_the_remedy(root):
    with pytest.raises(DataError, match=r"tiny: not in .*tiny; `pellucid data fetch tiny`"):
        locate("tiny")
    put(root / "tiny", CONTENTS["tiny"])
    assert locate("tiny") == root / "tiny"
    assert pairs("tiny") == [(None, root / "tiny" / name) for name in ("a.png", "b ä.png", "c.png")]
    (root / "tiny/a.png").write_bytes(b"fIrst")
    with pytest.raises(DataError, match=r"tiny: 2 of 3 files right, 1 wrong, .*`pellucid data fetch tiny` puts right"):
        locate("tiny")
    with pytest.raises(DataError, match=r"hand: .*no stable address.*get it from the authors of Hand, put it into"):
        locate("hand")


def test_pairs_are_in_the_order_of_their_numbers_and_a_part_has_its_own(root):
    put(root / "duo", CONTENTS["duo"])
    assert [clean.name for _, clean in pairs("duo")] == ["1.png", "2.png", "10.png"]
    assert pairs("duo_part") == [(root / "duo/rain/2.png", root / "duo/clean/2.png")]
