"""MAXIM derived once more, straight from the paper's formulas and the flax paths of its authors' weights.

One picture (1, 3, H, W), kernels as `models.tfjs` gives them: convolutions (out, in, h, w), dense layers (out, in).
"""

import torch
import torch.nn.functional as F


def shapes(stages=2, width=4, blocks=1, bottlenecks=1, fine=2, coarse=1, reduction=4):
    """Every parameter by its path, with its shape in the layout of torch."""
    found = {}

    def leaf(path, shape, kernel="kernel"):
        found[f"{path}/{kernel}"] = shape
        found[f"{path}/bias"] = (shape[1] if "Transpose" in path else shape[0],)

    def norm(path, w):
        leaf(path, (w,), "scale")

    def mixing(path, w, cells):
        norm(f"{path}/LayerNorm_in", w)
        leaf(f"{path}/in_project", (2 * w, w))
        for axis in ("Grid", "Block"):
            gated = f"{path}/{axis}GmlpLayer"
            norm(f"{gated}/LayerNorm", w)
            leaf(f"{gated}/in_project", (2 * w, w))
            norm(f"{gated}/{axis}GatingUnit/intermediate_layernorm", w)
            leaf(f"{gated}/{axis}GatingUnit/Dense_0", (cells, cells))
            leaf(f"{gated}/out_project", (w, w))
        leaf(f"{path}/out_project", (w, 2 * w))

    def channels(path, w):
        leaf(f"{path}/Conv_0", (w // reduction, w, 1, 1))
        leaf(f"{path}/Conv_1", (w, w // reduction, 1, 1))

    def pairs(path, given, w, cells):
        leaf(f"{path}/Conv_0", (w, given, 1, 1))
        for n in range(blocks):
            mixing(f"{path}/SplitHeadMultiAxisGmlpLayer_{n}", w, cells)
            attention = f"{path}/channel_attention_block_1{n}"
            norm(f"{attention}/LayerNorm", w)
            leaf(f"{attention}/conv1", (w, w, 3, 3))
            leaf(f"{attention}/conv2", (w, w, 3, 3))
            channels(f"{attention}/channel_attention", w)

    def cross(path, given, w, cells):
        leaf(f"{path}/Conv_0", (w, given, 1, 1))
        leaf(f"{path}/Conv_1", (w, w, 1, 1))
        for stream in "xy":
            norm(f"{path}/LayerNorm_{stream}", w)
            leaf(f"{path}/in_project_{stream}", (w, w))
            gates = f"{path}/SplitHeadMultiAxisGating_{stream}"
            norm(f"{gates}/LayerNorm_in", w)
            leaf(f"{gates}/in_project", (2 * w, w))
            leaf(f"{gates}/Dense_0", (cells, cells))
            leaf(f"{gates}/Dense_1", (cells, cells))
            leaf(f"{gates}/out_project", (w, 2 * w))
            leaf(f"{path}/out_project_{stream}", (w, w))

    widths, cells = [width, 2 * width, 4 * width], [fine**2, fine**2, coarse**2]
    above, below = [width, width, 2 * width], [2 * width, 4 * width, 4 * width]
    number = 0
    for s in range(stages):
        for i, w in enumerate(widths):
            leaf(f"stage_{s}_input_conv_{i}", (w, 3, 3, 3))
            pairs(f"stage_{s}_encoder_block_{i}", above[i] + w, w, cells[i])
            leaf(f"stage_{s}_encoder_block_{i}/Conv_1", (w, w, 4, 4))
            leaf(f"stage_{s}_cross_gating_block_{i}/ConvTranspose_0", (below[i], w, 2, 2))
            cross(f"stage_{s}_cross_gating_block_{i}", 3 * w, w, cells[i])
            leaf(f"stage_{s}_decoder_block_{i}/ConvTranspose_0", (below[i], w, 2, 2))
            pairs(f"stage_{s}_decoder_block_{i}/UNetEncoderBlock_0", 4 * w, w, cells[i])
            if s:
                cross(f"stage_{s}_input_fuse_sam_{i}", w, w, cells[i])
                cross(f"stage_{s}_encoder_block_{i}/cross_gating_block", w, w, cells[i])
            if s < stages - 1:
                leaf(f"stage_{s}_supervised_attention_module_{i}/Conv_0", (w, w, 3, 3))
                leaf(f"stage_{s}_supervised_attention_module_{i}/Conv_1", (3, w, 3, 3))
                leaf(f"stage_{s}_supervised_attention_module_{i}/Conv_2", (w, 3, 3, 3))
        for n in range(bottlenecks):
            path, w = f"stage_{s}_global_block_{n}", widths[2]
            leaf(f"{path}/input_proj", (w, w, 1, 1))
            for k in range(blocks):
                mixing(f"{path}/SplitHeadMultiAxisGmlpLayer_{k}", w, cells[2])
                attention = f"{path}/channel_attention_block_1_{k}"
                norm(f"{attention}/LayerNorm", w)
                leaf(f"{attention}/channel_mixing/Dense_0", (w, w))
                leaf(f"{attention}/channel_mixing/Dense_1", (w, w))
                channels(f"{attention}/channel_attention", w)
        for sources in ((0, 1, 2), (2, 1, 0)):  # for the gating the finest first, for the decoder the coarsest
            for target in (2, 1, 0):
                for source in sources:
                    leaf(f"UpSampleRatio_{number}/Conv_0", (widths[target], widths[source], 1, 1))
                    number += 1
    leaf(f"stage_{stages - 1}_output_conv_0", (3, width, 3, 3))
    return found


def drawn(shapes):
    """Random weights of these shapes, none of them at a special value."""
    generator = torch.Generator().manual_seed(1)

    def value(key, shape):
        if key.endswith("scale"):
            return 0.5 + torch.rand(shape, generator=generator)
        fan_in = torch.Size(shape[1:]).numel()
        return torch.randn(shape, generator=generator) / max(fan_in, 4) ** 0.5

    return {key: value(key, shape) for key, shape in shapes.items()}


class Naive:
    """What the authors' network computes, by its definition: every axis swapped to the end, mixed, and swapped back."""

    def __init__(self, weights, stages=2, blocks=1, bottlenecks=1, fine=2, coarse=1):
        self.weights, self.stages, self.blocks, self.bottlenecks = weights, stages, blocks, bottlenecks
        self.sides = [fine, fine, coarse]

    def __call__(self, image):
        x = image.permute(0, 2, 3, 1)
        images = [x, x[:, 1::2, 1::2], x[:, 2::4, 2::4]]
        encoded, decoded, sam, number = [], [], [], 0
        for s in range(self.stages):
            inputs = [self.conv(f"stage_{s}_input_conv_{i}", images[i]) for i in range(3)]
            if s:
                inputs = [self.cross(f"stage_{s}_input_fuse_sam_{i}", inputs[i], sam[i], i)[0] for i in range(3)]
            x, before, encoded = inputs[0], [a + b for a, b in zip(encoded, decoded, strict=True)], []
            for i in range(3):
                path = f"stage_{s}_encoder_block_{i}"
                x = self.pairs(path, torch.cat([x, inputs[i]], -1), i)
                if s:
                    x, _ = self.cross(f"{path}/cross_gating_block", x, before[i], i)
                encoded.append(x)
                x = self.conv(f"{path}/Conv_1", x, stride=2)
            for n in range(self.bottlenecks):
                x = self.bottleneck(f"stage_{s}_global_block_{n}", x)
            y, gated = x, [None] * 3
            for i in (2, 1, 0):
                signal = []
                for j in (0, 1, 2):
                    signal.append(self.scaled(number, encoded[j], 2 ** (j - i)))
                    number += 1
                gated[i], y = self.cross(f"stage_{s}_cross_gating_block_{i}", torch.cat(signal, -1), y, i, up=True)
            decoded = [None] * 3
            for i in (2, 1, 0):
                x = self.transposed(f"stage_{s}_decoder_block_{i}/ConvTranspose_0", x)
                signal = [x]
                for j in (2, 1, 0):
                    signal.append(self.scaled(number, gated[j], 2 ** (j - i)))
                    number += 1
                x = decoded[i] = self.pairs(f"stage_{s}_decoder_block_{i}/UNetEncoderBlock_0", torch.cat(signal, -1), i)
            if s < self.stages - 1:
                sam = [self.supervised(f"stage_{s}_supervised_attention_module_{i}", decoded[i], images[i])
                       for i in range(3)]  # fmt: skip
        return (self.conv(f"stage_{self.stages - 1}_output_conv_0", x) + images[0]).permute(0, 3, 1, 2)

    def conv(self, path, x, stride=1):
        kernel = self.weights[f"{path}/kernel"]
        padding = 1 if stride == 2 else kernel.shape[-1] // 2
        x = F.conv2d(x.permute(0, 3, 1, 2), kernel, self.weights[f"{path}/bias"], stride, padding)
        return x.permute(0, 2, 3, 1)

    def transposed(self, path, x):
        kernel, bias = self.weights[f"{path}/kernel"], self.weights[f"{path}/bias"]
        return F.conv_transpose2d(x.permute(0, 3, 1, 2), kernel, bias, 2).permute(0, 2, 3, 1)

    def dense(self, path, x):
        return F.linear(x, self.weights[f"{path}/kernel"], self.weights[f"{path}/bias"])

    def norm(self, path, x):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{path}/scale"], self.weights[f"{path}/bias"], 1e-6)

    def cut(self, x, rows, columns):
        """(1, H, W, C) to (1, blocks, pixels of a block, C)."""
        height, width, c = x.shape[1:]
        x = x.reshape(1, height // rows, rows, width // columns, columns, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(1, height // rows * (width // columns), rows * columns, c)

    def joined(self, x, height, width, rows, columns):
        c = x.shape[-1]
        x = x.reshape(1, height // rows, width // columns, rows, columns, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(1, height, width, c)

    def places(self, path, x, side, axis):
        height, width = x.shape[1:3]
        rows, columns = (height // side, width // side) if axis == "Grid" else (side, side)
        x = self.cut(x, rows, columns)
        swapped = -3 if axis == "Grid" else -2
        x = self.dense(path, x.swapaxes(-1, swapped)).swapaxes(-1, swapped)
        return self.joined(x, height, width, rows, columns)

    def mixing(self, path, x, side):
        start = x
        x = F.gelu(self.dense(f"{path}/in_project", self.norm(f"{path}/LayerNorm_in", x)), approximate="tanh")
        parts = []
        for axis, u in zip(("Grid", "Block"), x.chunk(2, -1), strict=True):
            gated = f"{path}/{axis}GmlpLayer"
            y = self.dense(f"{gated}/in_project", self.norm(f"{gated}/LayerNorm", u))
            a, b = F.gelu(y, approximate="tanh").chunk(2, -1)
            unit = f"{gated}/{axis}GatingUnit"
            b = self.places(f"{unit}/Dense_0", self.norm(f"{unit}/intermediate_layernorm", b), side, axis)
            parts.append(u + self.dense(f"{gated}/out_project", a * (b + 1)))
        return start + self.dense(f"{path}/out_project", torch.cat(parts, -1))

    def channel_attention(self, path, x):
        weight = F.relu(self.conv(f"{path}/Conv_0", x.mean((1, 2), keepdim=True)))
        return x * torch.sigmoid(self.conv(f"{path}/Conv_1", weight))

    def pairs(self, path, x, level):
        start = x = self.conv(f"{path}/Conv_0", x)
        for n in range(self.blocks):
            x = self.mixing(f"{path}/SplitHeadMultiAxisGmlpLayer_{n}", x, self.sides[level])
            part = f"{path}/channel_attention_block_1{n}"
            y = F.leaky_relu(self.conv(f"{part}/conv1", self.norm(f"{part}/LayerNorm", x)), 0.2)
            x = x + self.channel_attention(f"{part}/channel_attention", self.conv(f"{part}/conv2", y))
        return start + x

    def bottleneck(self, path, x):
        start = x = self.conv(f"{path}/input_proj", x)
        for n in range(self.blocks):
            x = self.mixing(f"{path}/SplitHeadMultiAxisGmlpLayer_{n}", x, self.sides[2])
            part = f"{path}/channel_attention_block_1_{n}"
            y = F.gelu(
                self.dense(f"{part}/channel_mixing/Dense_0", self.norm(f"{part}/LayerNorm", x)), approximate="tanh"
            )
            x = x + self.channel_attention(f"{part}/channel_attention", self.dense(f"{part}/channel_mixing/Dense_1", y))
        return start + x

    def cross(self, path, x, y, level, *, up=False):
        if up:
            y = self.transposed(f"{path}/ConvTranspose_0", y)
        starts = x, y = self.conv(f"{path}/Conv_0", x), self.conv(f"{path}/Conv_1", y)
        streams, gates = {}, {}
        for name, z in zip("xy", (x, y), strict=True):
            z = F.gelu(
                self.dense(f"{path}/in_project_{name}", self.norm(f"{path}/LayerNorm_{name}", z)), approximate="tanh"
            )
            part = f"{path}/SplitHeadMultiAxisGating_{name}"
            u = F.gelu(self.dense(f"{part}/in_project", self.norm(f"{part}/LayerNorm_in", z)), approximate="tanh")
            far, near = u.chunk(2, -1)
            far = self.places(f"{part}/Dense_0", far, self.sides[level], "Grid")
            near = self.places(f"{part}/Dense_1", near, self.sides[level], "Block")
            streams[name], gates[name] = z, self.dense(f"{part}/out_project", torch.cat([far, near], -1))
        y = starts[1] + self.dense(f"{path}/out_project_y", streams["y"] * gates["x"])
        x = self.dense(f"{path}/out_project_x", streams["x"] * gates["y"]) + y + starts[0]
        return x, y

    def scaled(self, number, x, ratio):
        if ratio != 1:
            size = [round(side * ratio) for side in x.shape[1:3]]
            x = F.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
        return self.conv(f"UpSampleRatio_{number}/Conv_0", x)

    def supervised(self, path, x, image):
        image = self.conv(f"{path}/Conv_1", x) + image
        return x + self.conv(f"{path}/Conv_0", x) * torch.sigmoid(self.conv(f"{path}/Conv_2", image))
