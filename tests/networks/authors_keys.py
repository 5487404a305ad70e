"""The keys and shapes of published files, as their authors name them, written out from the papers' layers.

Nothing of the package is used. Where the shared folder is there, `test_parity` compares them with the authors' own
lists at the published sizes.
"""


def layer(name, *shape, bias=True):
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def affine(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def merged(*parts):
    return {key: shape for part in parts for key, shape in part.items()}


def uretinex_net(width=32):
    both = 2 * width
    corrections = [(both, both, 3, 3)] * 5 + [(3, both, 3, 3)]
    sizes = [(width, 1, 5), *[(width, width, 5)] * 3, (1, width, 1)]
    return merged(
        *(
            layer(f"decom.decom.{2 * n}", *shape, 3, 3)
            for n, shape in enumerate([(width, 3), (width, width), (width, width), (4, width)])
        ),
        layer("unfolding_r.conv1", width, 3, 3, 3),
        layer("unfolding_r.conv2", width, 1, 3, 3),
        {
            "unfolding_r.se_layer.fc.0.weight": (max(1, both // 16), both),
            "unfolding_r.se_layer.fc.2.weight": (both, max(1, both // 16)),
        },
        *(layer(f"unfolding_r.conv{n}", *shape) for n, shape in enumerate(corrections, 3)),
        *(layer(f"unfolding_l.conv{n}", out, into, side, side) for n, (out, into, side) in enumerate(sizes, 1)),
        *(
            layer(f"adjust.conv{n}", *shape, 5, 5)
            for n, shape in enumerate([(width, 2), (width, width), (width, width), (1, width)], 1)
        ),
    )


def grid_dehaze_net(width=16, growth=16, layers=4, rows=3, columns=6):
    def dense(name, channels):
        return merged(
            *(
                layer(f"{name}.residual_dense_layers.{n}.conv", growth, channels + n * growth, 3, 3)
                for n in range(layers)
            ),
            layer(f"{name}.conv_1x1", channels, channels + layers * growth, 1, 1),
        )

    def down(name, c):
        return layer(f"{name}.conv1", c, c, 3, 3) | layer(f"{name}.conv2", 2 * c, c, 3, 3)

    def up(name, c):
        return layer(f"{name}.deconv", c, c, 3, 3) | layer(f"{name}.conv", c // 2, c, 3, 3)

    widths = [width * 2**row for row in range(rows)]
    return merged(
        {"coefficient": (rows, columns, 2, widths[-1])},
        *(dense(f"rdb_module.{r}_{c}", widths[r]) for r in range(rows) for c in range(columns - 1)),
        *(up(f"upsample_module.{r}_{c}", widths[r + 1]) for r in range(rows - 1) for c in range(columns // 2, columns)),
        *(down(f"downsample_module.{r}_{c}", widths[r]) for r in range(rows - 1) for c in range(columns // 2)),
        layer("conv_in", width, 3, 3, 3),
        layer("conv_out", 3, width, 3, 3),
        dense("rdb_in", width),
        dense("rdb_out", width),
    )


def ffdnet(width=96, depth=12, channels=3):
    inner = [(width, width)] * (depth - 2)
    shapes = [(width, 4 * channels + 1), *inner, (4 * channels, width)]
    return merged(*(layer(f"{2 * n}", *shape, 3, 3) for n, shape in enumerate(shapes)))


def drunet(widths=(64, 128, 256, 512), blocks=4, channels=3):
    def residual(name, width):
        return merged(*(layer(f"{name}.res.{n}", width, width, 3, 3, bias=False) for n in (0, 2)))

    down = [
        merged(
            *(residual(f"m_down{n}.{b}", width) for b in range(blocks)),
            layer(f"m_down{n}.{blocks}", 2 * width, width, 2, 2, bias=False),
        )
        for n, width in enumerate(widths[:-1], 1)
    ]
    up = [
        merged(
            layer(f"m_up{n}.0", 2 * width, width, 2, 2, bias=False),
            *(residual(f"m_up{n}.{b + 1}", width) for b in range(blocks)),
        )
        for n, width in enumerate(widths[:-1], 1)
    ]
    return merged(
        layer("m_head", widths[0], channels + 1, 3, 3, bias=False),
        *down,
        *(residual(f"m_body.{b}", widths[-1]) for b in range(blocks)),
        *up,
        layer("m_tail", channels, widths[0], 3, 3, bias=False),
    )


def mprnet(width=96, step=48, extra=32, blocks=8, reduction=4):
    def conv(name, *shape):
        return layer(name, *shape, bias=False)

    def attention(name, c):
        return merged(
            conv(f"{name}.CA.conv_du.0", c // reduction, c, 1, 1),
            conv(f"{name}.CA.conv_du.2", c, c // reduction, 1, 1),
            conv(f"{name}.body.0", c, c, 3, 3),
            {f"{name}.body.1.weight": (1,)},
            conv(f"{name}.body.2", c, c, 3, 3),
        )

    widths, wide = [width, width + step, width + 2 * step], width + extra
    stages = [
        merged(
            *(
                attention(f"stage{s}_{half}coder.{half}coder_level{n}.{b}", c)
                for half in ("en", "de")
                for n, c in enumerate(widths, 1)
                for b in (0, 1)
            ),
            *(conv(f"stage{s}_encoder.down{n}{n + 1}.down.1", widths[n], widths[n - 1], 1, 1) for n in (1, 2)),
            *(attention(f"stage{s}_decoder.skip_attn{n}", widths[n - 1]) for n in (1, 2)),
            *(conv(f"stage{s}_decoder.up{n + 1}{n}.up.1", widths[n - 1], widths[n], 1, 1) for n in (1, 2)),
        )
        for s in (1, 2)
    ]
    last = "stage3_orsnet"
    return merged(
        *(
            merged(conv(f"shallow_feat{n}.0", width, 3, 3, 3), attention(f"shallow_feat{n}.1", width))
            for n in (1, 2, 3)
        ),
        *stages,
        *(conv(f"stage2_encoder.csff_{k}{n}", c, c, 1, 1) for k in ("enc", "dec") for n, c in enumerate(widths, 1)),
        *(attention(f"{last}.orb{n}.body.{b}", wide) for n in (1, 2, 3) for b in range(blocks)),
        *(conv(f"{last}.orb{n}.body.{blocks}", wide, wide, 3, 3) for n in (1, 2, 3)),
        *(conv(f"{last}.up_{k}1.up.1", widths[0], widths[1], 1, 1) for k in ("enc", "dec")),
        *(conv(f"{last}.up_{k}2.0.up.1", widths[1], widths[2], 1, 1) for k in ("enc", "dec")),
        *(conv(f"{last}.up_{k}2.1.up.1", widths[0], widths[1], 1, 1) for k in ("enc", "dec")),
        *(conv(f"{last}.conv_{k}{n}", wide, width, 1, 1) for k in ("enc", "dec") for n in (1, 2, 3)),
        *(
            merged(
                conv(f"sam{n}.conv1", width, width, 1, 1),
                conv(f"sam{n}.conv2", 3, width, 1, 1),
                conv(f"sam{n}.conv3", width, 3, 1, 1),
            )
            for n in (12, 23)
        ),
        conv("concat12", width, 2 * width, 3, 3),
        conv("concat23", wide, 2 * width, 3, 3),
        conv("tail", 3, wide, 3, 3),
    )


def uformer(width=16, blocks=(2,) * 9, heads=(1, 2, 4, 8, 16, 16, 8, 4, 2), window=8, lowest=8, expansion=4):
    stages = [*(f"encoderlayer_{n}" for n in range(4)), "conv", *(f"decoderlayer_{n}" for n in range(4))]
    widths = [width * factor for factor in (1, 2, 4, 8, 16, 16, 8, 4, 2)]

    def block(number, name):
        c, side = widths[number], lowest if number == 4 else window
        return merged(
            {f"{name}.modulator.weight": (window**2, c)} if number > 4 else {},
            affine(f"{name}.norm1", c),
            {
                f"{name}.attn.relative_position_bias_table": ((2 * side - 1) ** 2, heads[number]),
                f"{name}.attn.relative_position_index": (side**2, side**2),
            },
            layer(f"{name}.attn.qkv.to_q", c, c),
            layer(f"{name}.attn.qkv.to_kv", 2 * c, c),
            layer(f"{name}.attn.proj", c, c),
            affine(f"{name}.norm2", c),
            layer(f"{name}.mlp.linear1.0", expansion * c, c),
            layer(f"{name}.mlp.dwconv.0", expansion * c, 1, 3, 3),
            layer(f"{name}.mlp.linear2.0", c, expansion * c),
        )

    return merged(
        layer("input_proj.proj.0", width, 3, 3, 3),
        layer("output_proj.proj.0", 3, 2 * width, 3, 3),
        *(block(n, f"{stage}.blocks.{b}") for n, stage in enumerate(stages) for b in range(blocks[n])),
        *(layer(f"dowsample_{n}.conv.0", width * 2 ** (n + 1), width * 2**n, 4, 4) for n in range(4)),
        *(
            {f"upsample_{n}.deconv.0.weight": (width * a, width * b, 2, 2), f"upsample_{n}.deconv.0.bias": (width * b,)}
            for n, (a, b) in enumerate(((16, 8), (16, 4), (8, 2), (4, 1)))
        ),
    )


def snr_aware(width=64, blocks=6, layers=6, hidden=2048, keys=512):
    def residual(name):
        return layer(f"{name}.conv1", width, width, 3, 3) | layer(f"{name}.conv2", width, width, 3, 3)

    token = 16 * width

    def block(name):
        return merged(
            *(layer(f"{name}.slf_attn.w_{k}s", keys, token, bias=False) for k in "qkv"),
            layer(f"{name}.slf_attn.fc", token, keys, bias=False),
            affine(f"{name}.slf_attn.layer_norm", token),
            layer(f"{name}.pos_ffn.w_1", hidden, token),
            layer(f"{name}.pos_ffn.w_2", token, hidden),
            affine(f"{name}.pos_ffn.layer_norm", token),
        )

    return merged(
        *(layer(f"conv_first_{n}", width, 3 if n == 1 else width, 3, 3) for n in (1, 2, 3)),
        residual("feature_extraction.0"),
        residual("recon_trunk.0"),
        *(layer(f"upconv{n}", 4 * width, 2 * width, 3, 3) for n in (1, 2)),
        layer("HRconv", width, 2 * width, 3, 3),
        layer("conv_last", 3, width, 3, 3),
        *(block(f"transformer.layer_stack.{n}") for n in range(layers)),
        *(residual(f"recon_trunk_light.{n}") for n in range(blocks)),
    )


def llformer(width=16, blocks=(2, 4, 8, 16), refinement=2):
    hidden = {c: int(c * 2.66) for c in [width * 2**n for n in range(5)]}

    def axis(name, c):
        return merged(
            {f"{name}.fac": (1,)},
            layer(f"{name}.q1", 3 * c, c, 1, 1),
            *(layer(f"{name}.q{n}", 3 * c, 1, 3, 3) for n in (2, 3)),
            layer(f"{name}.fin", c, c, 1, 1),
        )

    def stage(name, c, count):
        return merged(
            *(
                merged(
                    *(affine(f"{name}.{n}.norm{k}.body", c) for k in (1, 2)),
                    *(axis(f"{name}.{n}.attn.{k}_att", c) for k in ("row", "col")),
                    layer(f"{name}.{n}.ffn.project_in", 2 * hidden[c], c, 1, 1, bias=False),
                    layer(f"{name}.{n}.ffn.dwconv", 2 * hidden[c], 1, 3, 3, bias=False),
                    layer(f"{name}.{n}.ffn.project_out", c, hidden[c], 1, 1, bias=False),
                )
                for n in range(count)
            )
        )

    def fusion(name, join):
        c = 3 * width
        return merged(
            {f"{name}.temperature": (1,)},
            layer(f"{name}.qkv", 3 * c, c, 1, 1),
            layer(f"{name}.qkv_dwconv", 3 * c, 1, 3, 3),
            layer(f"{name}.project_out", c, c, 1, 1),
            layer(join, width, c, 1, 1, bias=False),
        )

    w1, w2, w3, w4 = (width * 2**n for n in range(1, 5))
    return merged(
        layer("patch_embed.proj", width, 3, 3, 3, bias=False),
        {"coefficient": (4, 2, w3)},
        {f"coefficient_{n + 1}_{n}": (2, c) for n, c in enumerate((width, w1, w2, w3))},
        *(stage(f"encoder_{n}", width, blocks[0]) for n in (1, 2, 3)),
        fusion("layer_fussion", "conv_fuss"),
        stage("latent", width, blocks[0]),
        *(layer(f"down_{n}.body.0", c // 2, c, 3, 3, bias=False) for n, c in enumerate((width, w1, w2, w3), 1)),
        *(stage(f"decoder_level{n}_{k}", c, blocks[n - 1]) for n, c in enumerate((w1, w2, w3), 1) for k in (0, 1)),
        stage("decoder_level4", w4, blocks[3]),
        *(
            layer(f"{name}.body.0", 2 * c, c, 3, 3, bias=False)
            for name, c in (("up4_3", w4), ("up3_2", w3), ("up2_1", w2), ("up2_0", w1))
        ),
        *(
            layer(name, c, c, 1, 1, bias=False)
            for name, c in (("skip_4_3", w3), ("skip_3_2", w2), ("skip_2_1", w1), ("skip_1_0", w1))
        ),
        *(stage(f"refinement_{n}", width, refinement) for n in (1, 2, 3)),
        fusion("layer_fussion_2", "conv_fuss_2"),
        layer("output", 3, width, 3, 3, bias=False),
    )


def swinir(width=24, blocks=(2, 2), heads=(3, 3), window=8, windows=16, channels=3, tail="", narrow=False):
    """`windows` are those of a training crop, of which the files hold masks."""

    def convolution(name):
        if not narrow:
            return layer(name, width, width, 3, 3)
        quarter = width // 4
        shapes = {"0": (quarter, width, 3, 3), "2": (quarter, quarter, 1, 1), "4": (width, quarter, 3, 3)}
        return merged(*(layer(f"{name}.{n}", *shape) for n, shape in shapes.items()))

    def block(name, heads, shifted):
        mask = {f"{name}.attn_mask": (windows, window**2, window**2)} if shifted else {}
        return merged(
            mask,
            affine(f"{name}.norm1", width),
            affine(f"{name}.norm2", width),
            {
                f"{name}.attn.relative_position_bias_table": ((2 * window - 1) ** 2, heads),
                f"{name}.attn.relative_position_index": (window**2, window**2),
            },
            layer(f"{name}.attn.qkv", 3 * width, width),
            layer(f"{name}.attn.proj", width, width),
            layer(f"{name}.mlp.fc1", 2 * width, width),
            layer(f"{name}.mlp.fc2", width, 2 * width),
        )

    tails = {
        "": layer("conv_last", channels, width, 3, 3),
        "direct x3": layer("upsample.0", 9 * channels, width, 3, 3),
        "shuffle x4": merged(
            layer("conv_before_upsample.0", 64, width, 3, 3),
            *(layer(f"upsample.{n}", 256, 64, 3, 3) for n in (0, 2)),
            layer("conv_last", channels, 64, 3, 3),
        ),
        "nearest x4": merged(
            layer("conv_before_upsample.0", 64, width, 3, 3),
            *(layer(name, 64, 64, 3, 3) for name in ("conv_up1", "conv_up2", "conv_hr")),
            layer("conv_last", channels, 64, 3, 3),
        ),
    }
    return merged(
        layer("conv_first", width, channels, 3, 3),
        affine("patch_embed.norm", width),
        *(
            block(f"layers.{n}.residual_group.blocks.{b}", heads[n], b % 2)
            for n, count in enumerate(blocks)
            for b in range(count)
        ),
        *(convolution(f"layers.{n}.conv") for n in range(len(blocks))),
        affine("norm", width),
        convolution("conv_after_body"),
        tails[tail],
    )


def nafnet(width=32, encoders=(2, 2, 4, 8), middle=12, decoders=(2, 2, 2, 2)):
    def block(name, c):
        return merged(
            {f"{name}.beta": (1, c, 1, 1), f"{name}.gamma": (1, c, 1, 1)},
            layer(f"{name}.conv1", 2 * c, c, 1, 1),
            layer(f"{name}.conv2", 2 * c, 1, 3, 3),
            layer(f"{name}.conv3", c, c, 1, 1),
            layer(f"{name}.sca.1", c, c, 1, 1),
            layer(f"{name}.conv4", 2 * c, c, 1, 1),
            layer(f"{name}.conv5", c, c, 1, 1),
            affine(f"{name}.norm1", c),
            affine(f"{name}.norm2", c),
        )

    widths = [width * 2**n for n in range(len(encoders))]
    return merged(
        layer("intro", width, 3, 3, 3),
        layer("ending", 3, width, 3, 3),
        *(block(f"encoders.{n}.{b}", c) for n, c in enumerate(widths) for b in range(encoders[n])),
        *(block(f"decoders.{n}.{b}", c) for n, c in enumerate(reversed(widths)) for b in range(decoders[n])),
        *(block(f"middle_blks.{b}", 2 * widths[-1]) for b in range(middle)),
        *(layer(f"ups.{n}.0", 4 * c, 2 * c, 1, 1, bias=False) for n, c in enumerate(reversed(widths))),
        *(layer(f"downs.{n}", 2 * c, c, 2, 2) for n, c in enumerate(widths)),
    )


def sfnet(width=32, blocks=2):
    widths = [width, 2 * width, 4 * width]

    def dynamic(name, c, side):
        hidden = max(c // 2, 32)
        return merged(
            {f"{name}.lamb_l": (c,), f"{name}.lamb_h": (c,)},
            layer(f"{name}.conv", 8 * side**2, c, 1, 1, bias=False),
            affine(f"{name}.bn", 8 * side**2),
            {f"{name}.bn.running_{key}": (8 * side**2,) for key in ("mean", "var")},
            {f"{name}.bn.num_batches_tracked": ()},
            layer(f"{name}.modulate.fc", hidden, c, 1, 1),
            *(layer(f"{name}.modulate.fcs.{n}", c, hidden, 1, 1) for n in (0, 1)),
            layer(f"{name}.modulate.out", c, c, 1, 1),
        )

    def block(name, c, last):
        half = c // 2
        return merged(
            *(layer(f"{name}.conv{n}.main.0", c, c, 3, 3) for n in (1, 2)),
            {f"{name}.localap.{key}": (4 * half,) for key in "hl"},
            {f"{name}.global_ap.fscale_{key}": (half,) for key in "dh"},
            dynamic(f"{name}.dyna", half, 3) | dynamic(f"{name}.dyna_2", half, 5) if last else {},
        )

    def shallow(name, c):
        shapes = [(c // 4, 3, 3, 3), (c // 2, c // 4, 1, 1), (c // 2, c // 2, 3, 3), (c, c // 2, 1, 1)]
        return merged(
            *(layer(f"{name}.main.{n}.main.0", *shape) for n, shape in enumerate(shapes)), affine(f"{name}.main.4", c)
        )

    w1, w2, w3 = widths
    features = [(w1, 3, 3, 3), (w2, w1, 3, 3), (w3, w2, 3, 3), (w3, w2, 4, 4), (w2, w1, 4, 4), (3, w1, 3, 3)]
    out_of = {3: w2, 4: w1}  # transposed convolutions have their inputs first
    return merged(
        *(
            block(f"{part}.{n}.layers.{b}", c, b == blocks - 1)
            for part, order in (("Encoder", widths), ("Decoder", widths[::-1]))
            for n, c in enumerate(order)
            for b in range(blocks)
        ),
        *(
            {f"feat_extract.{n}.main.0.weight": shape, f"feat_extract.{n}.main.0.bias": (out_of.get(n, shape[0]),)}
            for n, shape in enumerate(features)
        ),
        layer("Convs.0.main.0", w2, w3, 1, 1),
        layer("Convs.1.main.0", w1, w2, 1, 1),
        layer("ConvsOut.0.main.0", 3, w3, 3, 3),
        layer("ConvsOut.1.main.0", 3, w2, 3, 3),
        layer("FAM1.merge.main.0", w3, 2 * w3, 3, 3),
        layer("FAM2.merge.main.0", w2, 2 * w2, 3, 3),
        shallow("SCM1", w3),
        shallow("SCM2", w2),
    )


def drsformer(width=48, blocks=(4, 6, 6, 8), heads=(1, 2, 4, 8), mixtures=True):
    def conv(name, *shape):
        return layer(name, *shape, bias=False)

    def stage(name, c, heads, count):
        hidden = int(c * 2.66)
        return merged(
            *(
                merged(
                    *(affine(f"{name}.{n}.norm{k}.body", c) for k in (1, 2)),
                    {f"{name}.{n}.attn.temperature": (heads, 1, 1)},
                    {f"{name}.{n}.attn.attn{k}": (1,) for k in (1, 2, 3, 4)},
                    conv(f"{name}.{n}.attn.qkv", 3 * c, c, 1, 1),
                    conv(f"{name}.{n}.attn.qkv_dwconv", 3 * c, 1, 3, 3),
                    conv(f"{name}.{n}.attn.project_out", c, c, 1, 1),
                    conv(f"{name}.{n}.ffn.project_in", 2 * hidden, c, 1, 1),
                    *(conv(f"{name}.{n}.ffn.dwconv{s}x{s}", 2 * hidden, 1, s, s) for s in (3, 5)),
                    *(conv(f"{name}.{n}.ffn.dwconv{s}x{s}_1", hidden, 2, s, s) for s in (3, 5)),
                    conv(f"{name}.{n}.ffn.project_out", c, 2 * hidden, 1, 1),
                )
                for n in range(count)
            )
        )

    def mixture(name, c):
        def step(name):
            sides = enumerate((1, 3, 5, 7, 3, 5, 7))
            return merged(
                *(
                    merged(
                        *(conv(f"{name}._ops.{n}.op.{k}", c, 1, s, s) for k in ((0, 3) if n < 4 else (0,))),
                        *(conv(f"{name}._ops.{n}.op.{k}", c, c, 1, 1) for k in ((1, 4) if n < 4 else (1,))),
                    )
                    for n, s in sides
                ),
                conv(f"{name}._out.0", c, 8 * c, 1, 1),
            )

        return merged(
            layer(f"{name}.layers.0.ca_fc.0", 64, c),
            layer(f"{name}.layers.0.ca_fc.2", 32, 64),
            conv(f"{name}.layers.1.preprocess.op.0", c, c, 1, 1),
            *(step(f"{name}.layers.1._ops.{n}") for n in range(4)),
        )

    w1, w2, w3, w4 = (width * 2**n for n in range(4))
    return merged(
        conv("patch_embed.proj", w1, 3, 3, 3),
        *((mixture("encoder_level0", w1), mixture("refinement", w2)) if mixtures else ()),
        *(stage(f"encoder_level{n}", c, heads[n - 1], blocks[n - 1]) for n, c in enumerate((w1, w2, w3), 1)),
        stage("latent", w4, heads[3], blocks[3]),
        *(conv(f"down{n}_{n + 1}.body.0", c // 2, c, 3, 3) for n, c in enumerate((w1, w2, w3), 1)),
        *(conv(f"up{n + 1}_{n}.body.0", 4 * c, 2 * c, 3, 3) for n, c in enumerate((w1, w2, w3), 1)),
        conv("reduce_chan_level3", w3, w4, 1, 1),
        conv("reduce_chan_level2", w2, w3, 1, 1),
        *(stage(f"decoder_level{n}", c, heads[n - 1], blocks[n - 1]) for n, c in ((3, w3), (2, w2), (1, w2))),
        conv("output", 3, w2, 3, 3),
    )


def textir(channels=4, sides=(64, 32, 16), width=32, style=64, words=512, told=512):
    """All of one width: at 64 pixels and below the authors' networks have the same everywhere."""
    latents, levels = 2 * len(sides), len(sides)

    def styled(name, outputs, side):
        return {
            f"{name}.modulated_conv.weight": (1, outputs, width, side, side),
            **layer(f"{name}.modulated_conv.modulation", width, style),
        }

    def fused(name):
        return {f"{name}.weight": (1,), **styled(name, width, 3), f"{name}.activate.bias": (width,)}

    def rgb(name):
        return {f"{name}.bias": (1, 3, 1, 1), **styled(name, 3, 1)}

    def activated(name, place, inputs, side=3):
        return {f"{name}.{place}.weight": (width, inputs, side, side), f"{name}.{place + 1}.bias": (width,)}

    return merged(
        activated("conv_body_first", 0, channels),
        *(activated(f"conv_body_down.{n}", 1, width) for n in range(levels - 1)),
        activated("final_conv", 0, width),
        layer("final_linear", style * latents, words),
        *(layer(f"condition_scale{k}.{n}", width, told) for k in (1, 2) for n in range(levels)),
        *(layer(f"condition_shift.{n}.0", width, width, 3, 3) for n in range(levels)),
        fused("style_conv1"),
        rgb("to_rgb1"),
        *(fused(f"style_convs.{n}") for n in range(2 * levels - 2)),
        *(rgb(f"to_rgbs.{n}") for n in range(levels - 1)),
        {f"noises.noise{n}": (1, 1, *[2 ** ((n + 5) // 2)] * 2) for n in range(2 * levels - 1)},
        layer("out_conv.0", 2, 3, 3, 3) if channels == 1 else {},
    )


TINY = {
    "drsformer": drsformer(4, (1, 2, 1, 1), (1, 1, 2, 2)),
    "drunet": drunet((4, 8, 16, 32), 2),
    "ffdnet": ffdnet(8, 4),
    "grid_dehaze_net": grid_dehaze_net(4, 3, 2),
    "llformer": llformer(4, (1, 2, 1, 1), 1),
    "mprnet": mprnet(8, 4, 2, 2),
    "nafnet": nafnet(4, (1, 1, 1, 2), 1, (1, 1, 1, 1)),
    "sfnet": sfnet(16, 2),
    "snr_aware": snr_aware(4, 2, 2, 16, 128),
    "swinir": swinir(8, (2,), (2,), window=4, tail="nearest x4", narrow=True),
    "textir": textir(3, (32, 16), 8, 8, 4, 1),
    "uformer": uformer(4, (2, 1, 1, 1, 2, 1, 1, 1, 2), (1, 1, 2, 2, 2, 2, 2, 1, 1)),
    "uretinex_net": uretinex_net(8),
}
"""Of each network, at a size that costs nothing."""

OF_VECTORS = {
    "drsformer_mefc": drsformer(16, (1, 1, 1, 1)),
    "drsformer_nomefc": drsformer(16, (1, 1, 1, 1), mixtures=False),
    "drunet_color": drunet(),
    "drunet_gray": drunet(channels=1),
    "grid_dehaze_net": grid_dehaze_net(),
    "llformer": llformer(),
    "llformer_skip": llformer(16, (1, 1, 1, 1), 1),
    "mprnet_deblurring": mprnet(),
    "mprnet_denoising": mprnet(80),
    "mprnet_deraining": mprnet(40, 20, 16),
    "nafnet_local_tiny": nafnet(8, (1, 1, 1, 2), 1, (1, 1, 1, 1)),
    "nafnet_sidd_w32": nafnet(),
    "sfnet_rain": sfnet(),
    "snr_aware": snr_aware(),
    "swinir_dn": swinir(),
    "swinir_jpeg": swinir(window=7, channels=1),
    "swinir_light_x3": swinir(windows=4, tail="direct x3"),
    "swinir_real_x4_3conv": swinir(windows=4, tail="nearest x4", narrow=True),
    "swinir_sr_x4": swinir(windows=4, tail="shuffle x4"),
    "textir_color": textir(1),
    "textir_inpaint": textir(),
    "textir_sr": textir(3, told=1),
    "uformer_b": uformer(32, (1, 2, 8, 8, 2, 8, 8, 2, 1)),
    "uformer_s": uformer(32),
    "uformer_t": uformer(),
    "uformer_t64": uformer(lowest=4),
    "uretinex_net": uretinex_net(),
}
"""At the sizes of the vectors in the shared folder."""
