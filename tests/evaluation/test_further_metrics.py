"""Further metrics by their names."""

import pytest
import torch

from pellucid import images
from pellucid.errors import SettingsError
from pellucid.evaluation.candidates import INPUT
from pellucid.evaluation.further_metrics import find_metrics
from pellucid.evaluation.job import EvaluationJob
from pellucid.evaluation.sets import find_set
from pellucid.metrics import ms_ssim


def finished(job, **options):
    list(job.run())
    return job.finish({}, **options)


def test_metrics_by_name(clean):
    job = EvaluationJob(metrics=["ms-ssim", "noise", "sharpness", "blockiness"])
    for index in range(2):
        pixels = torch.rand(1, 3, 170, 180, generator=torch.Generator().manual_seed(index))
        images.write(images.Photograph(pixels), clean / f"{index}.png")
    (clean / "2.png").unlink()
    job.add(find_set(str(clean)), [INPUT], sigmas=[25])
    (summary,) = finished(job).document["summaries"]
    assert summary["extra"].keys() == {"ms-ssim", "noise", "sharpness", "blockiness"}
    picture = images.read(clean / "0.png").pixels
    assert find_metrics(["ms-ssim"])["ms-ssim"](picture * 0.9, picture) == float(ms_ssim(picture * 0.9, picture))
    with pytest.raises(SettingsError, match="did you mean 'ms-ssim'"):
        find_metrics(["ms-sim"])
    with pytest.raises(SettingsError, match="lpips:NETWORK"):
        find_metrics(["lpips"])
