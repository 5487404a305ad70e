"""What an untrained image tower sees: the spectrum of its patches."""

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from pellucid.priors.degradation_encoder import ImageTower, TowerSettings
from pellucid.training.section import Section

__all__ = ["SpectrumSettings", "frequency_filters", "start_as_spectrum"]


class SpectrumSettings(Section):
    """The weights that the image tower starts from."""

    constant: Annotated[float, Field(gt=0)] = 10.0
    """Of the constant channel, which tells layer normalisation how strong the frequencies are."""
    steepness: Annotated[float, Field(gt=0)] = 4.0
    """Of the absolute value that the first perceptron computes: near zero, gelu is not as sharp."""
    amplitude: Annotated[float, Field(gt=0)] = 25.0
    """Of photographs at the lowest frequency, normalised, in patches of 16 pixels."""


@torch.no_grad()
def start_as_spectrum(tower: ImageTower, shape: TowerSettings, settings: SpectrumSettings) -> None:
    """Sets a tower's weights so that before any training it measures the spectrum of its patches.

    Degradations are told apart by how strong which frequencies are, that is by means of absolute values, and a
    transformer from random weights sees means alone for thousands of steps: noise and blur have none. So the patch
    embedding is a cosine transform whose coefficients are of one size in photographs, the first layer's perceptron adds
    their absolute values to them, and one channel is constant and large, so that layer normalisation keeps how strong
    they are.
    """
    width, model = shape.hidden_size, tower.vision_model
    embeddings = model.embeddings
    first: Any = model.encoder.layers[0]
    embeddings.patch_embedding.weight[0] = 0
    embeddings.patch_embedding.weight[1:] = frequency_filters(shape.patch_size, width - 1, settings.amplitude)
    embeddings.position_embedding.weight *= 0.3
    embeddings.position_embedding.weight[:, 0] = settings.constant
    first.self_attn.out_proj.weight *= 0.2
    # gelu(s z) + gelu(-s z) = s |z| but for the smallest z; needs twice as many units as channels.
    pairs = min(width, shape.intermediate_size // 2)
    unit = torch.eye(pairs, width)
    first.mlp.fc1.weight[: 2 * pairs] = settings.steepness * torch.cat([unit, -unit])
    first.mlp.fc1.bias[: 2 * pairs] = 0
    first.mlp.fc2.weight *= 0.2
    first.mlp.fc2.weight[:, : 2 * pairs] = torch.cat([unit, unit]).mT / settings.steepness
    first.mlp.fc2.bias[:] = 0


def frequency_filters(patch: int, count: int, amplitude: float) -> Tensor:
    """Filters (count, 3, patch, patch) of a cosine transform, scaled so that photographs answer all about as strongly.

    A sixth of them sees colour differences at the lowest frequencies; of the rest, which see the brightness, a quarter
    are its lowest frequencies, the others are spread over all.
    """
    places = torch.arange(patch) + 0.5
    waves = torch.cos(math.pi / patch * torch.arange(patch)[:, None] * places) * (2 / patch) ** 0.5
    waves[0] *= 0.5**0.5
    order = sorted((math.hypot(u, v), u, v) for u in range(patch) for v in range(patch))
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
    colours /= colours.norm(dim=1, keepdim=True)
    coloured = min(count // 12, len(order))
    bright = min(count - 2 * coloured, len(order))
    lowest = bright // 4
    rest = order[lowest:]
    chosen = [(0, entry) for entry in order[:lowest]]
    chosen += [(0, rest[place * len(rest) // (bright - lowest)]) for place in range(bright - lowest)]
    chosen += [(colour, entry) for colour in (1, 2) for entry in order[:coloured]]
    filters = [
        # Amplitudes fall with the square of the frequency, and colour differences are an eighth of the brightness.
        colours[colour][:, None, None]
        * torch.outer(waves[u], waves[v])
        * (1 + radius) ** 2
        * (8 if colour else 1)
        / amplitude
        for colour, (radius, u, v) in chosen
    ]
    filters += [torch.randn(3, patch, patch) / patch for _ in range(count - len(filters))]
    return torch.stack(filters)
