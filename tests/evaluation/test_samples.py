"""Several samples of a picture: the first, the mean, the best."""

import torch

from pellucid.diffusion.network import Generative
from pellucid.evaluation.candidates import candidates_of
from pellucid.guidance import Guidance
from pellucid.models.save import save_model

SMALL = {"widths": (16, 16), "blocks": (1, 1), "embedding": 16}


def test_first_mean_and_best_of_samples_that_are_drawn_once(tmp_path, identity):
    network = Generative(unet=SMALL)
    save_model(network, tmp_path / "tiny.safetensors")
    told = {"tile": 0, "precision": "float32", "seed": 5, "prompt": "denoise 20"}
    control = {"steps": 1, "start": 0.3}
    first, mean, best = candidates_of([str(tmp_path / "tiny.safetensors")], samples=3, control=control, **told)
    (alone,) = candidates_of([str(tmp_path / "tiny.safetensors")], control=control | {"samples": 1}, **told)
    picture = torch.rand(1, 3, 24, 32)
    clean = (picture + 0.1 * torch.randn(1, 3, 24, 32)).clamp(0, 1)
    samples = [alone.restore(picture, known=Guidance(seed=5 + number)) for number in range(3)]
    assert torch.equal(first.restored(picture, clean, {}), alone.restore(picture))
    torch.testing.assert_close(mean.restored(picture, clean, {}), torch.stack(samples).mean(0))
    errors = [float((one - clean).square().mean()) for one in samples]
    assert torch.equal(best.restored(picture, clean, {}), samples[errors.index(min(errors))])
    assert len({one.identity for one in (first, mean, best, alone)}) == 4
    assert [one.name.rpartition(" (")[2] for one in (first, mean, best)] == ["1 of 3)", "mean of 3)", "best of 3)"]
    other = picture.clone()
    assert torch.equal(first.restored(other, clean, {}), samples[0])
    assert len(candidates_of([str(identity)], samples=3)) == 1  # a model that does not sample is asked once
