"""PTG-RM's equations (1) to (7) and the variants of its table 3, derived a second time.

Naively, in float64, with concatenations and loops as the paper writes them, from the weights and the settings alone.
"""

import numpy as np
import torch
import torch.nn.functional as F


def randomised(module, seed=0):
    """The module with every parameter away from its initial value, so that no term of an equation vanishes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return module.eval()


def lrelu(x):
    return torch.where(x > 0, x, 0.1 * x)


class Naive:
    """The operations of R by the names of their weights."""

    def __init__(self, module):
        self.w = {key: value.double() for key, value in module.state_dict().items()}
        self.settings = module.settings

    def conv(self, x, name, stride=1):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(x, weight, self.w.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2)

    def affine(self, x, name):
        return x * self.w[f"{name}.weight"].view(1, -1, 1, 1) + self.w[f"{name}.bias"].view(1, -1, 1, 1)

    def norm(self, x, name, over):
        mean = x.mean(over, keepdim=True)
        deviation = ((x - mean) ** 2).mean(over, keepdim=True).add(1e-5).sqrt()
        return self.affine((x - mean) / deviation, name)

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T

    def projected(self, g, name):
        first = 0
        if self.settings["prior_norm"] == "length":
            g, first = g / g.square().sum(-1, keepdim=True).sqrt(), 1
        return self.linear(lrelu(self.linear(g, f"{name}.{first}")), f"{name}.{first + 2}")

    def hidden(self, x):
        """What a logit is made of: as it is, or of one size at each place."""
        return x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() if self.settings["bounded"] else x

    def levelled(self, x, name):
        """The normalisation over the image, and what it takes away through a linear map."""
        y = self.norm(x, f"{name}_norm", (2, 3))
        if not self.settings["levels"]:
            return y
        deviation = x.var((2, 3), correction=0).add(1e-5).sqrt()
        return y + self.linear(torch.cat([x.mean((2, 3)), deviation], 1), f"{name}_levels")[:, :, None, None]

    def position(self, name, like):
        batch, _, h, w = like.shape
        rows, columns = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
        grid = torch.from_numpy(np.stack([rows, columns]))[None].expand(batch, 2, h, w)
        return self.conv(lrelu(self.conv(grid, f"{name}.0")), f"{name}.2")

    def beside(self, x, g, prior, position):
        """x ⊕ T(g) ⊕ S, as far as the settings have them."""
        parts = [x]
        if self.settings["guidance"] == "attention":
            parts.append(self.projected(g, prior)[:, :, None, None].expand(-1, -1, *x.shape[2:]))
        if self.settings["position"]:
            parts.append(self.position(position, x))
        return torch.cat(parts, 1)

    def joined(self, f, g):
        if self.settings["guidance"] == "concatenated-vector":
            t = self.projected(g, "concatenation.prior")[:, :, None, None].expand(-1, -1, *f.shape[2:])
        else:
            g = g / g.square().mean((1, 2, 3), keepdim=True).sqrt()
            t = self.projected(g.permute(0, 2, 3, 1), "concatenation.prior").permute(0, 3, 1, 2)
            t = F.interpolate(t, f.shape[2:], mode="bilinear", align_corners=False)
        return self.conv(torch.cat([f, t], 1), "concatenation.mix")

    def depthwise(self, x, name):
        weight = self.w[f"{name}.weight"]
        return torch.cat([F.conv2d(x[:, i : i + 1], weight[i : i + 1], padding=1) for i in range(x.shape[1])], 1)

    def restormer_block(self, x, name):
        y = self.conv(self.norm(x, f"{name}.attention_norm", 1), f"{name}.qkv")
        q, k, v = (part.flatten(2) for part in self.depthwise(y, f"{name}.qkv_depthwise").chunk(3, 1))
        q, k = q / q.norm(dim=2, keepdim=True), k / k.norm(dim=2, keepdim=True)
        attention = torch.softmax(q @ k.transpose(1, 2) * self.w[f"{name}.temperature"].view(1, 1, 1), -1)
        x = x + self.conv((attention @ v).view_as(x), f"{name}.attention_out")
        y = self.conv(self.norm(x, f"{name}.gate_norm", 1), f"{name}.gate_in")
        one, other = self.depthwise(y, f"{name}.gate_depthwise").chunk(2, 1)
        return x + self.conv(0.5 * one * (1 + torch.erf(one / 2**0.5)) * other, f"{name}.gate_out")

    def enhanced(self, f, g, snr):
        """Equations (2) and (3)."""
        f_s = f + self.conv(self.conv(f, "short_range.first").clamp_min(0), "short_range.second")
        f_l = f
        for index in range(self.settings["blocks"]):
            f_l = self.restormer_block(f_l, f"long_range.{index}")
        if self.settings["range_map"] == "sum":
            return f_s + f_l
        if self.settings["range_map"] == "snr":
            return snr * f_s + (1 - snr) * f_l
        guided = F.conv2d(
            self.beside(f, g, "range_prior", "range_position"), self.w["range_map.guided.weight"], padding=1
        )
        m = torch.sigmoid(self.conv(self.hidden(lrelu(guided)), "range_map.out"))
        return m * f_l + (1 - m) * f_s if self.settings.get("form") == "reference" else m * f_s + (1 - m) * f_l

    def attended(self, f_hat, g):
        """Equations (4) to (7)."""
        branches = []
        if self.settings["channel_attention"]:
            pooled = f_hat.mean((2, 3))
            if self.settings["guidance"] == "attention":
                pooled = torch.cat([pooled, self.projected(g, "attention_prior")], 1)
            hidden = self.hidden(lrelu(self.linear(pooled, "channel_attention.hidden")))
            branches.append(f_hat * torch.sigmoid(self.linear(hidden, "channel_attention.out"))[:, :, None, None])
        if self.settings["spatial_attention"]:
            guided = self.beside(f_hat, g, "attention_prior", "attention_position")
            guided = F.conv2d(guided, self.w["spatial_attention.kernels.guided.weight"], padding=1)
            c_p = self.conv(lrelu(guided), "spatial_attention.kernels.out")
            if self.settings["bounded"]:
                taps = c_p.reshape(len(c_p), self.settings["kernel"] ** 2, -1, *c_p.shape[2:])
                c_p = (taps / (1 + taps.abs().sum(1, keepdim=True))).reshape(c_p.shape)
            filtered = self.hidden(lrelu(per_location(f_hat, c_p, self.settings["kernel"])))
            branches.append(f_hat * torch.sigmoid(self.conv(filtered, "spatial_attention.out")))
        return self.conv(torch.cat(branches, 1), "fusion") + f_hat if branches else f_hat

    def middle(self, f, g, snr=None):
        if self.settings["guidance"] != "attention":
            f = self.joined(f, g)
        if self.settings["added"]:
            f = f + self.linear(self.projected(g, "range_prior"), "shift")[:, :, None, None]
        return self.attended(self.enhanced(f, g, snr), g)


def per_location(x, kernels, side):
    channels, h, w = x.shape[1:]
    result = torch.zeros_like(x)
    for row in range(h):
        for column in range(w):
            for tap in range(side**2):
                y = min(max(row + tap // side - side // 2, 0), h - 1)
                z = min(max(column + tap % side - side // 2, 0), w - 1)
                kernel = kernels[:, tap * channels : (tap + 1) * channels, row, column]
                result[:, :, row, column] += x[:, :, y, z] * kernel
    return result


def snr_mask(degraded):
    """The mask of one place in four by four pixels, pixel by pixel in numpy."""
    masks = []
    for image in degraded.clamp(0, 1).numpy():
        luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        h, w = luma.shape
        ratio = np.zeros_like(luma)
        for y in range(h):
            for x in range(w):
                mean = luma[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].mean()
                ratio[y, x] = mean / (abs(luma[y, x] - mean) + 1e-4)
        places = ratio.reshape(h // 4, 4, w // 4, 4).mean((1, 3))
        masks.append(places / max(places.max(), 1e-4))
    return torch.from_numpy(np.stack(masks))[:, None]


def naive(module, restored, degraded, g):
    """PTGRM, (B, 3, H, W) and the prior's vector or maps to the refined image, float64."""
    r = Naive(module)
    restored, degraded, g = restored.double(), degraded.double(), g.double()
    f = r.conv(torch.cat([restored, degraded], 1), "encoder.first")
    f = r.conv(lrelu(r.levelled(f, "encoder.first")), "encoder.second", stride=2)
    f = r.conv(r.levelled(f, "encoder.second"), "encoder.third", stride=2)
    f = r.middle(f, g, snr_mask(degraded) if module.settings["range_map"] == "snr" else None)
    for name in ("decoder.grow_first", "decoder.grow_second"):
        f = lrelu(F.pixel_shuffle(r.conv(f, name), 2))
    maps = r.conv(lrelu(r.conv(f, "decoder.full")), "decoder.out")
    if module.settings["form"] == "reference":
        return restored.clamp(0, 1) + maps
    mask, residual = 1 + maps[:, :3], maps[:, 3:]
    if module.settings["film"]:
        numbers = r.linear(r.projected(g, "attention_prior"), "film") + r.w["film.bias"]
        of_mask, on_mask, of_residual, on_residual = numbers.reshape(-1, 4, 3, 1, 1).unbind(1)
        mask, residual = mask * (1 + of_mask) + on_mask, residual * (1 + of_residual) + on_residual
    return degraded + (restored - degraded) * mask + residual


def naive_features(module, deep, g):
    """FeatureRefinement, (B, C, h, w) and the prior's vector or maps to the refined map, float64."""
    r = Naive(module)
    deep, g = deep.double(), g.double()
    mask, residual = r.conv(r.middle(r.conv(r.norm(deep, "norm", 1), "encoder"), g), "decoder").chunk(2, 1)
    return deep * (1 + mask) + residual
