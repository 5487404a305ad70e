"""The process that is undone: how much of a picture and of noise is in a state, and what a network says of it.

x_t = a_t x_0 + s_t e,   a_t² + s_t² = 1

epsilon         the network says e                                  (Ho et al., 2020, equation 11)
v_prediction    it says v = a_t e - s_t x_0                         (Salimans and Ho, 2022, arXiv 2202.00512)
sample          it says x_0
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import MissingExtraError, SettingsError, unknown_name

__all__ = ["PREDICTIONS", "Noising"]

PREDICTIONS = ("epsilon", "v_prediction", "sample")
SCHEDULE: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "rescale_betas_zero_snr": True,
}
"""What a schedule is where a recipe says nothing: the cosine of Nichol and Dhariwal (2021, arXiv 2102.09672), ending in
nothing but noise (Lin et al., 2024, arXiv 2305.08891)."""


class Noising:
    """A schedule of noise, and what predictions mean under it.

    Args:
        prediction: what the network says, of PREDICTIONS.
        schedule: the arguments of diffusers' DDPM scheduler: num_train_timesteps, beta_schedule, beta_start, ...

    Raises:
        SettingsError: an unknown prediction.
        MissingExtraError: diffusers is not installed.
    """

    def __init__(self, prediction: str = "v_prediction", schedule: Mapping[str, Any] | None = None) -> None:
        if prediction not in PREDICTIONS:
            raise SettingsError(unknown_name("prediction", prediction, PREDICTIONS))
        try:
            from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
        except ImportError:
            raise MissingExtraError("diffusers", "diffusion") from None
        self.prediction = prediction
        self.schedule = {**SCHEDULE, **(schedule or {})}
        with torch.device("cpu"):  # where a network is built to be filled, tensors have no values
            self.kept: Tensor = DDPMScheduler(**self.schedule).alphas_cumprod.float()
        self.steps = len(self.kept)

    def amounts(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the picture, and how much noise, is in a state at times (B,): a_t and s_t, (B, 1, 1, 1) each."""
        kept = self.kept.to(times.device)[times].view(-1, 1, 1, 1)
        return kept.sqrt(), (1 - kept).sqrt()

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The states x_t of clean ones."""
        much, little = self.amounts(times)
        return much * clean + little * noise

    def wanted(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should say of them."""
        much, little = self.amounts(times)
        return {"epsilon": noise, "v_prediction": much * noise - little * clean, "sample": clean}[self.prediction]

    def clean(self, state: Tensor, said: Tensor, times: Tensor) -> Tensor:
        """x_0, as the network's words mean it; of epsilon, nothing is said where there is nothing but noise."""
        much, little = self.amounts(times)
        if self.prediction == "sample":
            return said
        if self.prediction == "epsilon":
            return (state - little * said) / much.clamp_min(1e-4)
        return much * state - little * said

    def said_of(self, state: Tensor, clean: Tensor, times: Tensor) -> Tensor:
        """What a network would have said whose x_0 is this: the way back from `clean`."""
        much, little = self.amounts(times)
        if self.prediction == "sample":
            return clean
        noise = (state - much * clean) / little.clamp_min(1e-4)
        return noise if self.prediction == "epsilon" else much * noise - little * clean
