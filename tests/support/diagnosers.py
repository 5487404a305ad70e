"""A tiny encoder's settings, and the folder of a diagnoser as training would leave it."""

import json

from safetensors.torch import save_file

from pellucid.diagnosis import save_diagnoser

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 12,
}


def write_diagnoser(diagnoser, place):
    """The folder; its weights and config are written as transformers names them."""
    place.mkdir()
    save_file(diagnoser.encoder.tower.state_dict(), place / "model.safetensors")
    (place / "config.json").write_text(json.dumps({"vision_config": diagnoser.encoder.settings}))
    save_diagnoser(diagnoser, place)
    return place
