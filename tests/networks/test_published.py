"""The weights files of published networks: recognised by their authors' keys, loaded, kept, refused."""

import sys
import types

import numpy as np
import pytest
import torch
from authors_keys import TINY
from naive_restormer import promptir_shapes, restormer_shapes
from safetensors.torch import save_file

import pellucid
from pellucid.errors import ModelError
from pellucid.models.file import describe_model
from pellucid.models.hub import find_model
from pellucid.models.load import load_model, load_network_weights
from pellucid.models.published import PUBLISHED, near, recognise
from pellucid.models.save import save_model
from pellucid.models.tables import NETWORKS, build_network
from pellucid.networks import AODNet, PReNet, UNet, ZeroDCE
from pellucid.priors.efficientnet_lite import EfficientNetLite0
from pellucid.priors.imagenet import MobileNetV2, SqueezeNet


def convolution(name, shape, bias=True):
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def batch_norm(name, width, counter=True):
    keys = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": (width,) for key in keys} | ({f"{name}.num_batches_tracked": ()} if counter else {})


def merged(*parts):
    return {key: shape for part in parts for key, shape in part.items()}


def iat_block(name, width):
    norms = [{f"{name}.norm{i}.{k}": s} for i in (1, 2) for k, s in
             (("alpha", (1, 1, width)), ("beta", (1, 1, width)), ("color", (width, width)))]  # fmt: skip
    return merged(
        *norms,
        convolution(f"{name}.pos_embed", (width, 1, 3, 3)),
        convolution(f"{name}.conv1", (width, width, 1, 1)),
        convolution(f"{name}.conv2", (width, width, 1, 1)),
        convolution(f"{name}.attn", (width, 1, 5, 5)),
        convolution(f"{name}.mlp.fc1", (4 * width, width, 1, 1)),
        convolution(f"{name}.mlp.fc2", (width, 4 * width, 1, 1)),
        {f"{name}.gamma_1": (1, width, 1, 1), f"{name}.gamma_2": (1, width, 1, 1)},
    )


def sci_shapes(repeats):
    def calibrating(name):
        return merged(
            *(convolution(f"{name}.{i}", (16, 16, 3, 3)) for i in (0, 3)),
            *(batch_norm(f"{name}.{i}", 16) for i in (1, 4)),
        )

    return merged(
        *(convolution(f"enhance.{name}", (3, 3, 3, 3)) for name in ("in_conv.0", "conv.0", "blocks.0.0", "out_conv.0")),
        *(batch_norm(f"enhance.{name}", 3) for name in ("conv.1", "blocks.0.1")),
        convolution("calibrate.in_conv.0", (16, 3, 3, 3)),
        batch_norm("calibrate.in_conv.1", 16),
        *(calibrating(f"calibrate.{name}") for name in ("convs", *(f"blocks.{i}" for i in range(repeats)))),
        convolution("calibrate.out_conv.0", (3, 16, 3, 3)),
    )


def ruas_shapes():
    cell = "enhance_net.iems.{}.cell"
    enhancing = {"c1_r.op": 1, "c2_d.op": 3, "c2_r.op": 3, "c3_d.op": 3, "c4.op": 3}
    denoising = {"c1_d.op": 1, "c1_r.op": 1, "c2_d.op": 3, "c3_d.op": 1, "c3_r.op": 1}
    return merged(
        *(convolution(f"{cell.format(i)}.{k}", (3, 3, s, s)) for i in range(3) for k, s in enhancing.items()),
        *(convolution(f"{cell.format(i)}.c5", (3, 12, 1, 1)) for i in range(3)),
        *(convolution(f"denoise_net.nrms.{i}.{k}", (6, 6, s, s)) for i in range(3) for k, s in denoising.items()),
        *(convolution(f"denoise_net.nrms.{i}.c5", (6, 24, 1, 1)) for i in range(3)),
        convolution("denoise_net.stem", (6, 3, 3, 3)),
        convolution("denoise_net.activate.0", (3, 6, 3, 3)),
    )


def iat_shapes():
    query = "global_net.generator"
    return merged(
        convolution("local_net.conv1", (16, 3, 3, 3)),
        *(iat_block(f"local_net.{kind}_blocks.{i}", 16) for kind in ("mul", "add") for i in range(3)),
        *(convolution(f"local_net.{kind}_end.0", (3, 16, 3, 3)) for kind in ("mul", "add")),
        convolution("global_net.conv_large.proj.0", (32, 3, 3, 3)),
        batch_norm("global_net.conv_large.proj.1", 32),
        convolution("global_net.conv_large.proj.3", (64, 32, 3, 3)),
        batch_norm("global_net.conv_large.proj.4", 64),
        convolution(f"{query}.pos_embed", (64, 1, 3, 3)),
        *(convolution(f"{query}.norm{i}", (64,)) for i in (1, 2)),
        {f"{query}.attn.q": (1, 10, 64), f"{query}.attn.k.weight": (64, 64), f"{query}.attn.v.weight": (64, 64)},
        convolution(f"{query}.attn.proj", (64, 64)),
        convolution(f"{query}.mlp.fc1", (256, 64)),
        convolution(f"{query}.mlp.fc2", (64, 256)),
        *(convolution(f"global_net.{name}_linear", (1, 64)) for name in ("gamma", "color")),
        {"global_net.gamma_base": (1,), "global_net.color_base": (3, 3)},
    )


def authors_shapes():
    """The keys and shapes of each network's published files, written out by hand from them."""
    e_convs = [(3, 3, 1, 1), (3, 3, 3, 3), (3, 6, 5, 5), (3, 6, 7, 7), (3, 12, 3, 3)]
    curves = [(32, 3, 3, 3), *[(32, 32, 3, 3)] * 3, *[(32, 64, 3, 3)] * 2, (24, 64, 3, 3)]
    return {
        "aod_net": merged(*(convolution(f"e_conv{i}", shape) for i, shape in enumerate(e_convs, 1))),
        "zero_dce": merged(*(convolution(f"e_conv{i}", shape) for i, shape in enumerate(curves, 1))),
        "dncnn": merged(
            convolution("dncnn.0", (64, 1, 3, 3), bias=False),
            *(convolution(f"dncnn.{i}", (64, 64, 3, 3), bias=False) for i in range(2, 47, 3)),
            *(batch_norm(f"dncnn.{i}", 64, counter=False) for i in range(3, 47, 3)),
            convolution("dncnn.47", (1, 64, 3, 3), bias=False),
        ),
        "pairlie": merged(
            *(convolution(f"{n}_net.{n}_net.1", (64, 3, 3, 3)) for n in "NLR"),
            *(convolution(f"{n}_net.{n}_net.{i}", (64, 64, 3, 3)) for n in "NLR" for i in (4, 7, 10)),
            *(convolution(f"{n}_net.{n}_net.13", (1 if n == "L" else 3, 64, 3, 3)) for n in "NLR"),
        ),
        "prenet": merged(
            convolution("conv0.0", (32, 6, 3, 3)),
            *(convolution(f"conv_{gate}.0", (32, 64, 3, 3)) for gate in "ifgo"),
            *(convolution(f"res_conv{i}.{j}", (32, 32, 3, 3)) for i in range(1, 6) for j in (0, 2)),
            convolution("conv.0", (3, 32, 3, 3)),
        ),
        "sci": sci_shapes(repeats=3),
        "ruas": ruas_shapes(),
        "iat": iat_shapes(),
        "promptir": promptir_shapes(4, (1, 2, 1, 1), 2, (1, 1, 2, 4), widths=(10, 6, 4), sides=(2, 3, 5)),
        "restormer": restormer_shapes(4, (1, 2, 1, 1), 2, (1, 1, 2, 4), 2.66),
        **TINY,
    }


AUTHORS = {name: {key: torch.rand(shape) for key, shape in shapes.items()} for name, shapes in authors_shapes().items()}
ONE_SLOPE = torch.tensor([0.25])
AUTHORS["mprnet"] |= {key: ONE_SLOPE for key in AUTHORS["mprnet"] if AUTHORS["mprnet"][key].shape == (1,)}


@pytest.mark.parametrize("name", sorted(AUTHORS))
def test_authors_keys_are_recognised_and_every_tensor_finds_a_place(name):
    found, settings, weights = recognise(AUTHORS[name])
    assert found == name
    build_network(name, settings).load_state_dict(weights)
    surplus = (
        *("enhance.blocks.", "calibrate.blocks."),  # SCI's files hold its blocks twice
        *("chnl_reduce", "reduce_noise_channel_"),  # PromptIR's, layers that nothing calls
    )
    ends = ("relative_position_index", "attn_mask", "lamb_l", "lamb_h", "skip_2_1.weight")  # as idle
    ends += ("coefficient",) if name == "llformer" else ()
    theirs = {
        value.data_ptr()
        for key, value in AUTHORS[name].items()
        if value.ndim and not key.startswith(surplus) and not key.endswith(ends)
    }
    assert {value.data_ptr() for value in weights.values() if value.ndim} == theirs


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [  # of one shape, so that only the names tell them apart
        ("aod_net", "e_conv3.bias", "convolutions.2.bias"),
        ("dncnn", "dncnn.14.weight", "layers.14.weight"),
        ("drsformer", "encoder_level2.1.attn.attn3", "encoders.1.1.shares.2"),
        ("drsformer", "refinement.layers.1._ops.2._ops.4.op.1.weight", "after.steps.2.operations.4.layers.1.weight"),
        ("drunet", "m_up2.2.res.2.weight", "decoders.1.1.second.weight"),
        ("drunet", "m_down3.2.weight", "downsamples.2.weight"),
        ("ffdnet", "4.bias", "layers.4.bias"),
        ("grid_dehaze_net", "upsample_module.1_4.conv.bias", "up.1_4.narrow.bias"),
        ("grid_dehaze_net", "downsample_module.0_2.conv1.bias", "down.0_2.shrink.bias"),
        ("llformer", "decoder_level3_0.0.attn.col_att.q3.weight", "encoders.2.0.columns.depthwise_again.weight"),
        ("llformer", "decoder_level3_1.0.attn.row_att.fac", "decoders.0.0.rows.temperature"),
        ("llformer", "coefficient_2_1", "shares.2"),
        ("llformer", "skip_1_0.weight", "joins.2.weight"),
        ("mprnet", "stage2_encoder.csff_dec3.weight", "encoders.1.feeds.decoded.2.weight"),
        ("mprnet", "stage3_orsnet.up_dec2.1.up.1.weight", "final.decoded_from_coarsest.1.weight"),
        ("mprnet", "stage1_decoder.skip_attn2.CA.conv_du.0.weight", "decoders.0.skips.1.squeeze.weight"),
        ("nafnet", "decoders.1.0.conv4.bias", "decoders.1.0.expand_channels.bias"),
        ("nafnet", "middle_blks.0.norm2.weight", "middle.0.norm_channels.weight"),
        ("sfnet", "Encoder.1.layers.1.dyna_2.modulate.fcs.0.weight", "encoders.1.1.filters.1.high_weights.weight"),
        ("sfnet", "SCM2.main.2.main.0.bias", "shallow.0.4.bias"),
        ("sfnet", "FAM1.merge.main.0.weight", "joins.1.weight"),
        ("snr_aware", "recon_trunk.0.conv2.weight", "back.0.second.weight"),
        ("snr_aware", "recon_trunk_light.1.conv1.weight", "near.1.first.weight"),
        ("snr_aware", "transformer.layer_stack.1.slf_attn.w_ks.weight", "far.1.key.weight"),
        ("swinir", "conv_up2.weight", "tail.grow2.weight"),
        ("swinir", "layers.0.residual_group.blocks.1.mlp.fc1.bias", "groups.0.blocks.1.feed_in.bias"),
        ("uformer", "decoderlayer_2.blocks.0.modulator.weight", "decoders.2.0.modulator"),
        ("uformer", "conv.blocks.1.attn.qkv.to_kv.bias", "middle.1.key_value.bias"),
        ("uretinex_net", "unfolding_r.conv4.weight", "reflectance.convolutions.1.weight"),
        ("uretinex_net", "adjust.conv3.bias", "adjustment.4.bias"),
        ("iat", "local_net.add_blocks.2.conv1.bias", "local_branch.offset_blocks.2.project_in.bias"),
        ("iat", "local_net.mul_blocks.0.norm2.alpha", "local_branch.factor_blocks.0.norm_channels.scale"),
        ("iat", "local_net.mul_blocks.0.norm1.beta", "local_branch.factor_blocks.0.norm_space.offset"),
        ("iat", "local_net.add_blocks.1.gamma_2", "local_branch.offset_blocks.1.scale_channels"),
        ("iat", "global_net.generator.attn.k.weight", "global_branch.key.weight"),
        ("iat", "global_net.generator.attn.v.weight", "global_branch.value.weight"),
        ("iat", "global_net.generator.norm2.bias", "global_branch.norm_answers.bias"),
        ("iat", "global_net.color_linear.bias", "global_branch.to_matrix.bias"),
        ("pairlie", "R_net.R_net.7.weight", "reflectance.7.weight"),
        ("pairlie", "N_net.N_net.13.bias", "projection.13.bias"),
        ("promptir", "encoder_level2.1.norm2.body.bias", "encoders.1.1.gate_norm.bias"),
        ("promptir", "noise_level3.attn.project_out.weight", "prompts.0.interaction.attention_out.weight"),
        ("promptir", "refinement.1.ffn.dwconv.weight", "refinement.1.gate_depthwise.weight"),
        ("restormer", "decoder_level1.0.attn.temperature", "decoders.2.0.temperature"),
        ("restormer", "up2_1.body.0.weight", "upsamples.2.0.weight"),
        ("prenet", "conv_i.0.weight", "input_gate.weight"),
        ("prenet", "conv_f.0.weight", "forget_gate.weight"),
        ("prenet", "conv_g.0.bias", "candidate.bias"),
        ("prenet", "conv_o.0.weight", "output_gate.weight"),
        ("prenet", "res_conv2.2.weight", "blocks.1.second.weight"),
        ("ruas", "enhance_net.iems.1.cell.c2_d.op.weight", "illumination.1.convolutions.keep2.weight"),
        ("ruas", "enhance_net.iems.1.cell.c2_r.op.weight", "illumination.1.convolutions.carry2.weight"),
        ("ruas", "enhance_net.iems.2.cell.c4.op.bias", "illumination.2.convolutions.keep4.bias"),
        ("ruas", "denoise_net.nrms.2.c3_r.op.bias", "noise_cells.2.convolutions.carry3.bias"),
        ("sci", "enhance.conv.0.weight", "illumination.block.0.weight"),
        ("sci", "calibrate.convs.4.running_var", "calibration.block.4.running_var"),
        ("zero_dce", "e_conv6.weight", "decoder.1.weight"),
        ("zero_dce", "e_conv3.weight", "encoder.2.weight"),
    ],
)
def test_authors_keys_become_ours(name, theirs, ours):
    assert recognise(AUTHORS[name])[2][ours] is AUTHORS[name][theirs]


@pytest.mark.parametrize("name", sorted(AUTHORS))
def test_a_strangers_weights_are_not(name):
    known = AUTHORS[name]
    first = next(iter(known))
    assert recognise(known | {"another.weight": torch.zeros(1)}) is None
    assert recognise({key: value for key, value in known.items() if key != first}) is None
    assert recognise(known | {first: torch.zeros(2, 3, 5, 7)}) is None
    assert recognise({mark: torch.zeros(()) for mark in PUBLISHED[name].marks}) is None


def test_nothing_and_our_own_weights_are_not_published_ones():
    assert recognise({}) is None
    assert recognise(UNet.tiny().state_dict()) is None


def test_every_published_network_is_in_the_table():
    assert PUBLISHED.keys() <= NETWORKS.keys()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".ckpt"])
def test_files_of_every_kind_load(tmp_path, suffix):
    path = tmp_path / f"Gewichte für Grün{suffix}"
    if suffix == ".safetensors":
        save_file(AUTHORS["aod_net"], path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in AUTHORS["aod_net"].items()}}, path)
    restorer = pellucid.load(path, precision="float32")
    assert type(restorer.network) is AODNet
    assert torch.equal(restorer.network.convolutions[4].weight, AUTHORS["aod_net"]["e_conv5.weight"])
    assert restorer(np.zeros((5, 4, 3), np.uint8)).shape == (5, 4, 3)
    header = describe_model(find_model(str(path)))
    assert header.network == {"name": "aod_net", "settings": {}}
    assert (header.refinement, header.prior) == (None, None)


def test_files_of_half_precision_load_as_float32(tmp_path):
    save_file({key: value.half() for key, value in AUTHORS["zero_dce"].items()}, tmp_path / "half.safetensors")
    network = load_model(tmp_path / "half.safetensors").module
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_a_published_network_is_kept_in_a_model_file(tmp_path):
    torch.save(AUTHORS["dncnn"], tmp_path / "authors.pth")
    network = load_model(tmp_path / "authors.pth").module
    save_model(network, tmp_path / "ours.safetensors", recipe={}, card={})
    image = torch.rand(1, 3, 6, 7)
    assert torch.equal(load_model(tmp_path / "ours.safetensors").module(image), network(image))


def test_a_network_starts_from_its_authors_weights(tmp_path):
    torch.save(AUTHORS["prenet"], tmp_path / "authors.pth")
    network = PReNet()
    load_network_weights(network, tmp_path / "authors.pth")
    assert torch.equal(network.blocks[4].second.bias, AUTHORS["prenet"]["res_conv5.2.bias"])
    with pytest.raises(ModelError, match=r"authors\.pth: holds a network of another kind \(prenet\)"):
        load_network_weights(ZeroDCE(), tmp_path / "authors.pth")
    with pytest.raises(ModelError, match="do not fit"):
        load_network_weights(PReNet(width=16), tmp_path / "authors.pth")


def test_what_is_not_recognised_is_explained(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "stranger.pth")
    with pytest.raises(
        ModelError, match=r"stranger\.pth: not a pellucid model file.* known here: aod_net, .*zero_dce$"
    ):
        pellucid.load(tmp_path / "stranger.pth")
    (tmp_path / "empty.pth").touch()
    torch.save(AUTHORS["dncnn"], tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:1000])
    for name in ("empty", "cut"):
        with pytest.raises(ModelError, match=rf"{name}\.pth: not a readable weights file"):
            pellucid.load(tmp_path / f"{name}.pth")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"notes\.txt: not a file of weights; known: \.safetensors, \.pth"):
        pellucid.load(tmp_path / "notes.txt")
    (tmp_path / "package.tgz").touch()
    with pytest.raises(ModelError, match=r"package\.tgz: not a file .*; `pellucid models import` reads packages"):
        pellucid.load(tmp_path / "package.tgz")
    torch.save(AUTHORS["aod_net"] | {"e_conv1.bias": torch.full((3,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(ModelError, match=r"nan\.pth: the weights of its network are not finite"):
        pellucid.load(tmp_path / "nan.pth")


def test_partial_weights_are_refused_by_the_keys_that_differ():
    known = AUTHORS["mprnet"]
    half = dict(list(known.items())[: len(known) // 2])
    assert "it comes near mprnet" in near(half)
    assert "missing (" in near(half)
    renamed = {key.replace("tail.", "tails."): value for key, value in AUTHORS["uformer"].items()}
    said = near(renamed | {"epoch.weight": torch.zeros(2)})
    assert "comes near uformer" in said
    assert "1 unknown (epoch.weight)" in said
    wrong = AUTHORS["ffdnet"] | {"4.weight": torch.zeros(8, 8, 5, 5)}
    assert "1 of another shape (layers.4.weight)" in near(wrong)
    cut = {key: value for key, value in AUTHORS["zero_dce"].items() if key != "e_conv4.weight"}
    assert "it comes near zero_dce (and aod_net)" in near(cut)  # whose keys differ in their numbers alone
    assert "comes near none of those known here" in near({"blocks.attention.gamma": torch.zeros(3)})


@pytest.mark.parametrize(
    ("name", "network"),
    [("mobilenet_v2", MobileNetV2), ("squeezenet1_0", SqueezeNet), ("efficientnet_lite0", EfficientNetLite0)],
)
def test_weights_of_a_prior_are_known_as_such(name, network, tmp_path):
    with torch.device("meta"):
        keys = network().state_dict()
    torch.save({key: torch.zeros(1) for key in keys}, tmp_path / "prior.pth")
    with pytest.raises(
        ModelError, match=f"weights of the prior {name}, no network that restores: .*--prior {name}=FILE"
    ):
        pellucid.load(tmp_path / "prior.pth")


class Sharper(torch.nn.Module):
    """Of two channels' width more than any network here takes; enlarges by 2."""

    def forward(self, image):
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


class FakeDescriptor:
    """What spandrel's `ImageModelDescriptor` says of a network, as far as it is asked."""

    def __init__(self, weights):
        self.model, self.scale, self.purpose = Sharper(), 2, "SR"
        self.input_channels = self.output_channels = 3
        self.size_requirements = types.SimpleNamespace(minimum=4, multiple_of=2)
        self.architecture = types.SimpleNamespace(name="Sharper")
        self.weights = weights


class FakeLoader:
    def __init__(self, device):
        assert device == "cpu"

    def load_from_state_dict(self, weights):
        if "sharper.weight" not in weights:
            raise ValueError("unknown architecture")
        return FakeDescriptor(weights)


def test_what_spandrel_knows_is_restored_like_ours(tmp_path, monkeypatch):
    """With an object in spandrel's place: the library itself needs torchvision, which tests do without."""
    torch.save({"sharper.weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "stranger.pth")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ModelError, match=r"foreign\.pth: not a pellucid model file.*extra spandrel"):
        pellucid.load(tmp_path / "foreign.pth")
    fake = types.SimpleNamespace(ModelLoader=FakeLoader, ImageModelDescriptor=FakeDescriptor)
    monkeypatch.setitem(sys.modules, "spandrel", fake)
    restorer = pellucid.load(tmp_path / "foreign.pth", precision="float32", tile=64)
    image = torch.rand(1, 3, 71, 90)
    torch.testing.assert_close(restorer(image), Sharper()(image))
    header = describe_model(tmp_path / "foreign.pth")
    assert header.network["settings"] == {"multiple": 4, "scale": 2, "channels": 3}
    assert "Sharper, loaded through spandrel" in header.card["about"]
    with pytest.raises(
        ModelError, match=r"stranger\.pth: not a pellucid model file, nor the published weights of a network;"
    ):
        pellucid.load(tmp_path / "stranger.pth")
