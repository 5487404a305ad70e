"""Labels of photographs, the pool of examples, and tiles in another order."""

import pytest
import torch
from small_runs import TOWER

from pellucid import images
from pellucid.data.folders import Photographs
from pellucid.data.sources import Pairs, Synthetic
from pellucid.degradations import KINDS, parse_drawn
from pellucid.errors import DataError
from pellucid.priors import DegradationEncoder
from pellucid.priors.composite import split_tiles
from pellucid.training.encoder.batches import UNSAID, Examples, Pool, rearranged, seen_photograph
from pellucid.training.encoder.captions import meaning


def test_labels_say_what_was_drawn(pictures):
    paths = sorted((pictures / "clean").iterdir())
    source = Synthetic(Photographs(paths), [parse_drawn("noise sigma=20..40 bits=8")])
    image, labels = seen_photograph(source, 2, torch.Generator().manual_seed(1))
    assert sorted(image.shape) == [3, 40, 56]
    assert torch.equal(image, images.quantise(image, 8))
    assert labels.present[0].tolist() == [kind == "noise" for kind in KINDS]
    assert labels.known.all()
    assert labels.severity[0, 0] > 30
    assert labels.severity[0, 1:].sum() == 0
    assert labels.meaning.item() == meaning({"noise": float(labels.severity[0, 0])})


def test_of_photographs_as_they_were_taken_only_their_kind_is_known(pictures):
    source = Pairs(sorted((pictures / "hazy").iterdir()), kind="haze")
    labels = Examples(source, DegradationEncoder(TOWER).prepare)(0).labels
    assert labels.known[0].tolist() == labels.present[0].tolist() == [kind == "haze" for kind in KINDS]
    assert not labels.measured.any()
    assert labels.meaning.item() == UNSAID


def test_what_is_done_to_a_real_photograph_is_known_beside_its_kind(pictures):
    drawn = [parse_drawn("noise sigma=20..40, haze amount=30")]
    source = Pairs(sorted((pictures / "hazy").iterdir()), kind="haze", degradations=drawn)
    _, labels = seen_photograph(source, 0, torch.Generator().manual_seed(1))
    assert labels.known[0].tolist() == labels.present[0].tolist() == [kind in ("noise", "haze") for kind in KINDS]
    assert labels.measured[0].tolist() == [kind == "noise" for kind in KINDS]  # haze on haze: nobody knows how strong
    assert labels.severity[0, KINDS.index("noise")] > 0
    assert labels.severity.count_nonzero() == 1
    assert labels.meaning.item() == UNSAID


def test_the_pool_grows_forgets_and_makes_nothing_twice():
    made = []

    def make(number):
        made.append(number)
        return number

    pool = Pool(make, first=4, fresh=2, size=7)
    assert [pool.window(step) for step in (0, 1, 2, 9)] == [range(4), range(6), range(1, 8), range(15, 22)]
    assert pool.at(0, [0, 3, 3]) == [0, 3, 3]
    assert pool.at(2, [0, 6]) == [1, 7]
    assert pool.at(3, [0, 6]) == [3, 9]
    assert len(made) == len(set(made))
    resumed = Pool(lambda number: number, first=4, fresh=2, size=7)
    assert resumed.at(3, [0, 6]) == [3, 9]


def test_an_error_in_the_thread_is_raised_where_the_batch_is_made():
    def make(number):
        raise DataError("gone")

    with pytest.raises(DataError, match="gone"):
        Pool(make, first=2, fresh=1, size=4).at(0, [0])


def test_rearranging_moves_tiles_and_mirrors_each_by_itself():
    views = torch.rand(2, 3, 32, 32)
    order = torch.stack([torch.randperm(12) for _ in range(2)])
    changed = rearranged(views, order, torch.tensor([False, True]))
    (whole, tiles), (new_whole, new_tiles) = split_tiles(views), split_tiles(changed)
    assert torch.equal(new_whole[0], whole[0])
    assert torch.equal(new_whole[1], whole[1].flip(2))
    for place in range(12):
        assert torch.equal(new_tiles[0, place], tiles[0, order[0, place]])
        assert torch.equal(new_tiles[1, place], tiles[1, order[1, place]].flip(2))
