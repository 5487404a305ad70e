"""Numbers about pictures: how far from the clean one, by which protocol, how sure; and blind estimates."""

from pellucid.metrics.blind import blockiness, noise_sigma, sharpness
from pellucid.metrics.colour import luma
from pellucid.metrics.fidelity import ms_ssim, psnr, ssim, ssim_pooled, ssim_uniform, ssim_volume
from pellucid.metrics.noise import NoiseStream
from pellucid.metrics.perceptual import LPIPS, load_lpips
from pellucid.metrics.protocols import PROTOCOLS, Protocol, Scores, find_protocol, require_same
from pellucid.metrics.statistics import Difference, bootstrap_interval, paired_difference, shown, sign_flip_p

__all__ = [
    "LPIPS",
    "PROTOCOLS",
    "Difference",
    "NoiseStream",
    "Protocol",
    "Scores",
    "blockiness",
    "bootstrap_interval",
    "find_protocol",
    "load_lpips",
    "luma",
    "ms_ssim",
    "noise_sigma",
    "paired_difference",
    "psnr",
    "require_same",
    "sharpness",
    "shown",
    "sign_flip_p",
    "ssim",
    "ssim_pooled",
    "ssim_uniform",
    "ssim_volume",
]
