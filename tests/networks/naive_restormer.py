"""Restormer and PromptIR derived a second time, naively and in float64, from weights by their authors' keys; and those
keys.

Everything is read off the papers' equations and the shapes of the weights; nothing of the package is used.
"""

import numpy as np
import torch
import torch.nn.functional as F


def block_shapes(name, width, heads, hidden, bias=False, norm_bias=True):
    shapes = {f"{name}.attn.temperature": (heads, 1, 1)}
    for norm in ("norm1", "norm2"):
        shapes[f"{name}.{norm}.body.weight"] = (width,)
        if norm_bias:
            shapes[f"{name}.{norm}.body.bias"] = (width,)
    for layer, shape in {
        "attn.qkv": (3 * width, width, 1, 1),
        "attn.qkv_dwconv": (3 * width, 1, 3, 3),
        "attn.project_out": (width, width, 1, 1),
        "ffn.project_in": (2 * hidden, width, 1, 1),
        "ffn.dwconv": (2 * hidden, 1, 3, 3),
        "ffn.project_out": (width, hidden, 1, 1),
    }.items():
        shapes |= layer_shapes(f"{name}.{layer}", shape, bias)
    return shapes


def layer_shapes(name, shape, bias=False):
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def restormer_shapes(width, blocks, refinement, heads, expansion, bias=False, norm_bias=True, channels=3, bottom=None):
    """The keys and shapes of the authors' files; `bottom` channels enter the decoder, all of the coarsest if None."""
    w1, w2, w3, w4 = (width * factor for factor in (1, 2, 4, 8))
    bottom = bottom or w4
    shapes = {"patch_embed.proj.weight": (width, channels, 3, 3)}
    stages = {
        "encoder_level1": (w1, heads[0], blocks[0]),
        "encoder_level2": (w2, heads[1], blocks[1]),
        "encoder_level3": (w3, heads[2], blocks[2]),
        "latent": (w4, heads[3], blocks[3]),
        "decoder_level3": (w3, heads[2], blocks[2]),
        "decoder_level2": (w2, heads[1], blocks[1]),
        "decoder_level1": (w2, heads[0], blocks[0]),
        "refinement": (w2, heads[0], refinement),
    }
    for name, (wide, count_heads, count) in stages.items():
        for index in range(count):
            shapes |= block_shapes(f"{name}.{index}", wide, count_heads, int(wide * expansion), bias, norm_bias)
    for name, wide in {"down1_2": w1, "down2_3": w2, "down3_4": w3}.items():
        shapes[f"{name}.body.0.weight"] = (wide // 2, wide, 3, 3)
    for name, wide in {"up4_3": bottom, "up3_2": w3, "up2_1": w2}.items():
        shapes[f"{name}.body.0.weight"] = (2 * wide, wide, 3, 3)
    shapes |= layer_shapes("reduce_chan_level3", (w3, bottom // 2 + w3, 1, 1), bias)
    shapes |= layer_shapes("reduce_chan_level2", (w2, w3, 1, 1), bias)
    return shapes | layer_shapes("output", (channels, w2, 3, 3), bias)


def promptir_shapes(
    width=48,
    blocks=(4, 6, 6, 8),
    refinement=4,
    heads=(1, 2, 4, 8),
    expansion=2.66,
    widths=(320, 128, 64),
    sides=(16, 32, 64),
    components=5,
):
    """The keys and shapes of the authors' files, the six convolutions that are never used among them."""
    w1, w2, w3, w4 = (width * factor for factor in (1, 2, 4, 8))
    shapes = restormer_shapes(width, blocks, refinement, heads, expansion, bottom=w3)
    for level, features, out, wide, side in zip((3, 2, 1), (w4, w3, w2), (w3, w3, w2), widths, sides, strict=True):
        shapes[f"prompt{level}.prompt_param"] = (1, components, wide, side, side)
        shapes |= layer_shapes(f"prompt{level}.linear_layer", (components, features), bias=True)
        shapes[f"prompt{level}.conv3x3.weight"] = (wide, wide, 3, 3)
        joint = features + wide
        shapes |= block_shapes(f"noise_level{level}", joint, heads[2], int(joint * expansion))
        shapes[f"reduce_noise_level{level}.weight"] = (out, joint, 1, 1)
    coarse, middle, fine = widths
    return shapes | {
        "chnl_reduce1.weight": (fine, fine, 1, 1),
        "chnl_reduce2.weight": (middle, middle, 1, 1),
        "chnl_reduce3.weight": (4 * coarse // 5, coarse, 1, 1),
        "reduce_noise_channel_1.weight": (w1, w1 + fine, 1, 1),
        "reduce_noise_channel_2.weight": (w2, w2 + middle, 1, 1),
        "reduce_noise_channel_3.weight": (w3, w3 + 4 * coarse // 5, 1, 1),
    }


def drawn(shapes, seed=0):
    """Random weights of these shapes, none at a special value and none so large that the network's answer drowns."""
    generator = torch.Generator().manual_seed(seed)

    def draw(key, shape):
        values = torch.randn(shape, generator=generator)
        if key.endswith(("temperature", "body.weight")):
            return 1 + 0.3 * values
        return values * (0.3 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5)

    return {key: draw(key, shape) for key, shape in shapes.items()}


class Naive:
    """The networks by the authors' keys; images (B, C, H, W) in float64."""

    def __init__(self, weights):
        self.w = {key: value.double() for key, value in weights.items()}
        self.mixed = []
        """The prompts' weights of the last run."""

    def run(self, image):
        image = image.double()
        self.mixed = []
        x = self.conv(image, "patch_embed.proj")
        kept = []
        for level, down in enumerate(("down1_2", "down2_3", "down3_4"), 1):
            x = self.stage(x, f"encoder_level{level}")
            kept.append(x)
            x = unshuffled(self.conv(x, f"{down}.body.0"))
        x = self.stage(x, "latent")
        for level, up in ((3, "up4_3"), (2, "up3_2"), (1, "up2_1")):
            if f"prompt{level}.prompt_param" in self.w:
                x = self.prompted(x, level)
            x = torch.cat([shuffled(self.conv(x, f"{up}.body.0")), kept.pop()], 1)
            if level > 1:
                x = self.conv(x, f"reduce_chan_level{level}")
            x = self.stage(x, f"decoder_level{level}")
        return image + self.conv(self.stage(x, "refinement"), "output")

    def prompted(self, x, level):
        """PGM and PIM."""
        mean = x.sum((2, 3)) / (x.shape[2] * x.shape[3])
        scores = torch.einsum("bc,nc->bn", mean, self.w[f"prompt{level}.linear_layer.weight"])
        exponentials = (scores + self.w[f"prompt{level}.linear_layer.bias"]).exp()
        weights = exponentials / exponentials.sum(1, keepdim=True)
        self.mixed.append(weights)
        components = self.w[f"prompt{level}.prompt_param"][0]
        prompt = sum(weights[:, n, None, None, None] * components[n] for n in range(len(components)))
        prompt = self.conv(resized(prompt, *x.shape[2:]), f"prompt{level}.conv3x3")
        return self.conv(self.block(torch.cat([x, prompt], 1), f"noise_level{level}"), f"reduce_noise_level{level}")

    def stage(self, x, name):
        index = 0
        while f"{name}.{index}.attn.temperature" in self.w:
            x = self.block(x, f"{name}.{index}")
            index += 1
        return x

    def block(self, x, name):
        q, k, v = self.conv(
            self.conv(self.norm(x, f"{name}.norm1"), f"{name}.attn.qkv"), f"{name}.attn.qkv_dwconv"
        ).chunk(3, 1)
        attended = torch.zeros_like(x)
        temperature = self.w[f"{name}.attn.temperature"].flatten()
        wide = x.shape[1] // len(temperature)
        for sample in range(len(x)):
            for head, factor in enumerate(temperature):
                part = slice(head * wide, (head + 1) * wide)
                queries, keys, values = (each[sample, part].flatten(1) for each in (q, k, v))
                for channel in range(wide):
                    cosine = torch.stack(
                        [queries[channel] @ key / queries[channel].norm() / key.norm() for key in keys]
                    )
                    share = (factor * cosine).exp() / (factor * cosine).exp().sum()
                    attended[sample, head * wide + channel] = (share @ values).reshape(x.shape[2:])
        x = x + self.conv(attended, f"{name}.attn.project_out")
        hidden = self.conv(self.conv(self.norm(x, f"{name}.norm2"), f"{name}.ffn.project_in"), f"{name}.ffn.dwconv")
        gate, value = hidden.chunk(2, 1)
        gate = 0.5 * gate * (1 + torch.erf(gate / 2**0.5))
        return x + self.conv(gate * value, f"{name}.ffn.project_out")

    def norm(self, x, name):
        mean = x.mean(1, keepdim=True)
        deviation = ((x - mean) ** 2).mean(1, keepdim=True).add(1e-5).sqrt()
        weight, bias = self.w[f"{name}.body.weight"], self.w.get(f"{name}.body.bias")
        if bias is None:
            return x / deviation * weight[:, None, None]
        return (x - mean) / deviation * weight[:, None, None] + bias[:, None, None]

    def conv(self, x, name):
        weight = self.w[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, self.w.get(f"{name}.bias"), padding=weight.shape[-1] // 2, groups=groups)


def unshuffled(x):
    """Each square of four places to four channels of one place, row by row."""
    batch, channels, height, width = x.shape
    places = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return torch.stack(places, 2).reshape(batch, 4 * channels, height // 2, width // 2)


def shuffled(x):
    """Back from `unshuffled`."""
    batch, channels, height, width = x.shape
    result = x.new_zeros(batch, channels // 4, 2 * height, 2 * width)
    for place in range(4):
        result[:, :, place // 2 :: 2, place % 2 :: 2] = x[:, place::4]
    return result


def resized(x, height, width):
    """Bilinear, between the centres of places, with the border repeated: place by place."""
    result = x.new_zeros(*x.shape[:2], height, width)
    for row in range(height):
        for column in range(width):
            y, z = (
                (at + 0.5) * old / new - 0.5
                for at, old, new in ((row, x.shape[2], height), (column, x.shape[3], width))
            )
            y, z = min(max(y, 0), x.shape[2] - 1), min(max(z, 0), x.shape[3] - 1)
            top, left = int(y), int(z)
            bottom, right = min(top + 1, x.shape[2] - 1), min(left + 1, x.shape[3] - 1)
            upper = (1 - z + left) * x[:, :, top, left] + (z - left) * x[:, :, top, right]
            lower = (1 - z + left) * x[:, :, bottom, left] + (z - left) * x[:, :, bottom, right]
            result[:, :, row, column] = (1 - y + top) * upper + (y - top) * lower
    return result
