"""The samplers, which are diffusers' schedulers, made for a network's noise and a picture's controls."""

import warnings
from typing import Any

from pellucid.diffusion.controls import Controls
from pellucid.diffusion.noising import Noising
from pellucid.errors import MissingExtraError, SettingsError

__all__ = ["check_noising", "scheduler_for", "times_of"]


def check_noising(noising: Noising) -> None:
    """Refuses noising that a network can be trained with and never sample from.

    Raises:
        SettingsError: the network says epsilon, of which nothing can be concluded where there is nothing but noise.
    """
    if noising.prediction == "epsilon" and float(noising.kept[-1]) == 0:
        raise SettingsError(
            "a schedule that ends in nothing but noise needs a network that says v or the picture, not epsilon"
        )


def scheduler_for(controls: Controls, noising: Noising) -> Any:
    """A fresh scheduler, its times not yet set.

    Raises:
        SettingsError: the network says epsilon, of which nothing can be concluded where there is nothing but noise.
        MissingExtraError: diffusers is not installed.
    """
    check_noising(noising)
    try:
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    except ImportError:
        raise MissingExtraError("diffusers", "diffusion") from None
    told: dict[str, Any] = {
        **noising.schedule,
        "prediction_type": noising.prediction,
        "timestep_spacing": "trailing",
    }
    if controls.sampler == "dpm":
        return DPMSolverMultistepScheduler(**told, algorithm_type="dpmsolver++", solver_order=2)
    kind = DDIMScheduler if controls.sampler == "ddim" else DDPMScheduler
    return kind(**told, clip_sample=False)


def times_of(scheduler: Any, controls: Controls) -> list[int]:
    """The times of all steps, from noise to picture, where `start` leaves the first part of the way out.

    The schedule is cut so finely that `steps` of its steps lie in the part that is gone.
    """
    longest = len(scheduler.alphas_cumprod)
    with warnings.catch_warnings():  # diffusers hands a tensor to NumPy in a way that NumPy 2 warns of
        warnings.simplefilter("ignore", DeprecationWarning)
        scheduler.set_timesteps(min(longest, max(controls.steps, round(controls.steps / controls.start))))
    times = [int(time) for time in scheduler.timesteps][-controls.steps :]
    if controls.sampler == "dpm":
        scheduler.set_begin_index(len(scheduler.timesteps) - len(times))
    return times
