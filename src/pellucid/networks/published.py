"""Weights files as the authors of published networks gave them away: which network, which settings, whose key is what.

A file is recognised by all its keys and shapes: one tensor too many, too few or of another shape, and it is a stranger's.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.networks import build_network

__all__ = ["PUBLISHED", "Published", "recognise"]

Weights = Mapping[str, Tensor]

LIGHTNING = "net."
"""Before every key in checkpoints of a Lightning module that calls its network so."""


@dataclass(frozen=True)
class Published:
    """How the authors of one network name its weights."""

    task: str
    """What they were trained for, in a word of the registry of data sets; empty where for several, or files do not tell."""
    marks: tuple[str, ...]
    """Keys that every such file has: enough to pass other files by, and for `settings` to read."""
    settings: Callable[[Weights], dict[str, Any]]
    """The network's settings, from the authors' keys and shapes."""
    names: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
    """What turns their keys into ours: regular expressions and replacements, all of them, in this order."""
    copies: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors stand in the file under another key too."""
    idle: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors the authors' network never used: they are dropped."""
    single: str = r"(?!)"
    """A regular expression for the beginning of keys whose tensors have a first axis of length one that ours have not."""

    def rename(self, weights: Weights) -> dict[str, Tensor]:
        """The same tensors by our keys."""
        return {
            self._name(key): value.squeeze(0) if re.match(self.single, key) else value
            for key, value in weights.items()
            if not self._left_out(key)
        }

    def _left_out(self, key: str) -> bool:
        return bool(re.match(self.copies, key) or re.match(self.idle, key))

    def _name(self, key: str) -> str:
        for pattern, ours in self.names:
            key = re.sub(pattern, ours, key)
        return key


def recognise(weights: Weights) -> tuple[str, dict[str, Any], dict[str, Tensor]] | None:
    """The network that published weights belong to.

    Args:
        weights: tensors by the authors' keys, as `checkpoints.read_weights` gives them.

    Returns:
        Its name in NETWORKS, its settings, and the weights by our keys; None where it is none of `PUBLISHED`.
    """
    if weights and all(key.startswith(LIGHTNING) for key in weights):
        weights = {key.removeprefix(LIGHTNING): value for key, value in weights.items()}
    for name, published in PUBLISHED.items():
        if not all(mark in weights for mark in published.marks):
            continue
        try:
            settings = published.settings(weights)
            with torch.device("meta"):  # shapes are enough
                expected = build_network(name, settings).state_dict()
        except Exception:  # a stranger may use the same keys for anything
            continue
        renamed = published.rename(weights)
        # Counters that only training reads; old files lack them.
        renamed |= {key: torch.tensor(0) for key in expected.keys() - renamed.keys() if key.endswith("_tracked")}
        if _shapes(renamed) == _shapes(expected):
            return name, settings, renamed
    return None


def _shapes(weights: Weights) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items()}


def _count(weights: Weights, pattern: str) -> int:
    """How many keys match."""
    return sum(re.fullmatch(pattern, key) is not None for key in weights)


def _numbered(ours: str, first: int) -> Callable[[re.Match[str]], str]:
    """Our name with the number that the expression's first group found, where theirs start at `first` and ours at 0."""
    return lambda found: ours.format(int(found[1]) - first)


def _restormer_settings(weights: Weights) -> dict[str, Any]:
    """Of Restormer, and of the parts of PromptIR that are Restormer's."""
    stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]
    return {
        "width": weights["patch_embed.proj.weight"].shape[0],
        "blocks": [_count(weights, rf"{stage}\.\d+\.attn\.temperature") for stage in stages],
        "refinement_blocks": _count(weights, r"refinement\.\d+\.attn\.temperature"),
        "heads": [weights[f"{stage}.0.attn.temperature"].shape[0] for stage in stages],
        "expansion": _expansion(weights),
        "bias": "output.bias" in weights,
        "norm_bias": "encoder_level1.0.norm1.body.bias" in weights,
        "channels": weights["patch_embed.proj.weight"].shape[1],
    }


def _expansion(weights: Weights) -> float:
    """The roundest number by which every block's channels, times it and rounded down, are its hidden ones."""
    shapes = [value.shape for key, value in weights.items() if key.endswith("ffn.project_out.weight")]
    low, high = max(hidden / width for width, hidden, *_ in shapes), min((h + 1) / w for w, h, *_ in shapes)
    candidates = (math.ceil(low * 10.0**digits) / 10.0**digits for digits in range(8))
    return next(number for number in candidates if low <= number < high)


def _promptir_settings(weights: Weights) -> dict[str, Any]:
    prompts = [weights[f"prompt{scale}.prompt_param"].shape for scale in (3, 2, 1)]
    return _restormer_settings(weights) | {
        "components": prompts[0][1],
        "prompt_widths": [shape[2] for shape in prompts],
        "prompt_sides": [shape[3] for shape in prompts],
        "interaction_heads": weights["noise_level3.attn.temperature"].shape[0],
        "interaction_kernel": weights["reduce_noise_level3.weight"].shape[2],
    }


def _upwards(ours: str, coarsest: int) -> Callable[[re.Match[str]], str]:
    """Our name with the number that the first group found, where theirs fall from `coarsest` on and ours rise from 0."""
    return lambda found: ours.format(coarsest - int(found[1]))


RESTORMER_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^patch_embed\.proj", "embed"),
    (r"^encoder_level(\d)", _numbered("encoders.{}", 1)),
    (r"^down(\d)_\d\.body", _numbered("shrinks.{}", 1)),
    (r"^latent", "middle"),
    (r"^up(\d)_\d\.body", _upwards("grows.{}", 4)),
    (r"^reduce_chan_level(\d)", _upwards("joins.{}", 3)),
    (r"^decoder_level(\d)", _upwards("decoders.{}", 3)),
    (r"^output", "tail"),
    (r"norm1\.body", "attention_norm"),
    (r"norm2\.body", "gate_norm"),
    (r"attn\.temperature", "temperature"),
    (r"attn\.qkv_dwconv", "qkv_depthwise"),
    (r"attn\.qkv", "qkv"),
    (r"attn\.project_out", "attention_out"),
    (r"ffn\.project_in", "gate_in"),
    (r"ffn\.dwconv", "gate_depthwise"),
    (r"ffn\.project_out", "gate_out"),
)

PUBLISHED: Mapping[str, Published] = {
    "aod_net": Published(
        task="dehazing",
        marks=("e_conv1.weight", "e_conv5.weight"),
        settings=lambda weights: {},
        names=((r"^e_conv(\d)", _numbered("convolutions.{}", 1)),),
    ),
    "dncnn": Published(
        task="denoising",
        marks=("dncnn.0.weight",),
        settings=lambda weights: {
            "depth": sum(value.ndim == 4 for value in weights.values()),
            "width": weights["dncnn.0.weight"].shape[0],
            "channels": weights["dncnn.0.weight"].shape[1],
        },
        names=((r"^dncnn", "layers"),),
    ),
    "iat": Published(
        task="low light",
        marks=("local_net.conv1.weight", "global_net.generator.attn.q"),
        settings=lambda weights: {
            "width": weights["local_net.conv1.weight"].shape[0],
            "blocks": _count(weights, r"local_net\.mul_blocks\.\d+\.gamma_1"),
            "global_width": weights["global_net.generator.attn.q"].shape[2],
        },
        names=(
            (r"^local_net\.conv1", "local_branch.head"),
            (r"^local_net\.mul_", "local_branch.factor_"),
            (r"^local_net\.add_", "local_branch.offset_"),
            (r"_end\.0", "_tail"),
            (r"(?<=\d\.)attn", "depthwise"),
            (r"(?<=\d\.)norm1", "norm_space"),
            (r"(?<=\d\.)norm2", "norm_channels"),
            (r"conv1", "project_in"),
            (r"conv2", "project_out"),
            (r"gamma_1", "scale_space"),
            (r"gamma_2", "scale_channels"),
            (r"alpha$", "scale"),
            (r"beta$", "offset"),
            (r"color$", "matrix"),
            (r"^global_net\.(generator\.)?", "global_branch."),
            (r"conv_large\.proj", "embedding"),
            (r"attn\.q$", "queries"),
            (r"attn\.k\.", "key."),
            (r"attn\.v\.", "value."),
            (r"attn\.proj", "project"),
            (r"norm1", "norm_tokens"),
            (r"norm2", "norm_answers"),
            (r"pos_embed", "position"),
            (r"mlp\.fc1", "widen"),
            (r"mlp\.fc2", "narrow"),
            (r"gamma_base", "exponent"),
            (r"gamma_linear", "to_exponent"),
            (r"color_base", "matrix"),
            (r"color_linear", "to_matrix"),
        ),
    ),
    "pairlie": Published(
        task="low light",
        marks=("N_net.N_net.1.weight",),
        settings=lambda weights: {"width": weights["N_net.N_net.1.weight"].shape[0]},
        names=(
            (r"^N_net\.N_net", "projection"),
            (r"^L_net\.L_net", "illumination"),
            (r"^R_net\.R_net", "reflectance"),
        ),
    ),
    "prenet": Published(
        task="deraining",
        marks=("conv0.0.weight", "conv_g.0.weight"),
        settings=lambda weights: {
            "width": weights["conv0.0.weight"].shape[0],
            "blocks": _count(weights, r"res_conv\d+\.0\.weight"),
        },
        names=(
            (r"^conv0\.0", "head"),
            (r"^conv_i\.0", "input_gate"),
            (r"^conv_f\.0", "forget_gate"),
            (r"^conv_g\.0", "candidate"),
            (r"^conv_o\.0", "output_gate"),
            (r"^res_conv(\d+)\.0", _numbered("blocks.{}.first", 1)),
            (r"^res_conv(\d+)\.2", _numbered("blocks.{}.second", 1)),
            (r"^conv\.0", "tail"),
        ),
    ),
    "promptir": Published(
        task="",  # denoising, deraining and dehazing by one network
        marks=("patch_embed.proj.weight", "prompt1.prompt_param"),
        settings=_promptir_settings,
        names=(
            *RESTORMER_NAMES,
            (r"^prompt(\d)", _upwards("prompts.{}.generation", 3)),
            (r"prompt_param", "components"),
            (r"linear_layer", "weigh"),
            (r"conv3x3", "smooth"),
            (r"^noise_level(\d)", _upwards("prompts.{}.interaction", 3)),
            (r"^reduce_noise_level(\d)", _upwards("prompts.{}.project", 3)),
        ),
        single=r"prompt\d\.prompt_param",
        idle=r"(chnl_reduce|reduce_noise_channel_)\d\.",
    ),
    "restormer": Published(
        task="",  # one set of weights for each of several
        marks=("patch_embed.proj.weight", "reduce_chan_level3.weight"),
        settings=_restormer_settings,
        names=RESTORMER_NAMES,
    ),
    "ruas": Published(
        task="low light",
        marks=("denoise_net.stem.weight",),
        settings=lambda weights: {
            "iterations": _count(weights, r"enhance_net\.iems\.\d+\.cell\.c5\.weight"),
            "blocks": _count(weights, r"denoise_net\.nrms\.\d+\.c5\.weight"),
            "width": weights["denoise_net.stem.weight"].shape[0],
        },
        names=(
            (r"^enhance_net\.iems\.(\d+)\.cell", r"illumination.\1"),
            (r"^denoise_net\.stem", "noise_head"),
            (r"^denoise_net\.nrms", "noise_cells"),
            (r"^denoise_net\.activate\.0", "noise_tail"),
            (r"c(\d)(_d)?\.op", r"convolutions.keep\1"),
            (r"c(\d)_r\.op", r"convolutions.carry\1"),
            (r"c5", "mix"),
        ),
    ),
    "sci": Published(
        task="low light",
        marks=("enhance.in_conv.0.weight", "calibrate.in_conv.0.weight"),
        settings=lambda weights: {
            "repeats": _count(weights, r"enhance\.blocks\.\d+\.0\.weight"),
            "calibration_width": weights["calibrate.in_conv.0.weight"].shape[0],
            "calibration_repeats": _count(weights, r"calibrate\.blocks\.\d+\.0\.weight"),
        },
        names=(
            (r"^enhance\.in_conv\.0", "illumination.first"),
            (r"^enhance\.conv", "illumination.block"),
            (r"^enhance", "illumination"),
            (r"^calibrate\.in_conv", "calibration.first"),
            (r"^calibrate\.convs", "calibration.block"),
            (r"^calibrate", "calibration"),
            (r"out_conv\.0", "last"),
        ),
        copies=r"(enhance|calibrate)\.blocks\.",  # one block, applied repeatedly
    ),
    "zero_dce": Published(
        task="low light",
        marks=("e_conv1.weight", "e_conv7.weight"),
        settings=lambda weights: {
            "width": weights["e_conv1.weight"].shape[0],
            "iterations": weights["e_conv7.weight"].shape[0] // 3,
        },
        names=(
            (r"^e_conv([1-4])", _numbered("encoder.{}", 1)),
            (r"^e_conv([5-7])", _numbered("decoder.{}", 5)),
        ),
    ),
}
"""The networks whose authors' weights are known here, by their names in NETWORKS."""
