"""From a model's name to its file: embedded in the package, a path, or a repository on the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pellucid.errors import ModelError, one_line, unknown_name

__all__ = ["EMBEDDED", "Embedded", "find_model"]


@dataclass(frozen=True)
class Embedded:
    """A model that comes with the package.

    Attributes:
        file: its name among the weights.
        summary: what it is for.
    """

    file: str
    summary: str


EMBEDDED: Mapping[str, Embedded] = {
    "default": Embedded(
        "default.safetensors",
        "blind restoration of noise, blur, rain, snow, haze, darkness, JPEG and low resolution: six experts, boosted",
    ),
    "fast": Embedded("fast.safetensors", "the same in small: two experts, boosted"),
    "denoise": Embedded(
        "denoise.safetensors",
        "blind denoising of colour and grey photographs, Gaussian noise of sigma 0 to 55",
    ),
    "generate": Embedded(
        "generate.safetensors",
        "restoration by sampling, steered by words, strengths and regions; small and briefly trained: an experiment",
    ),
    "colorize": Embedded(
        "colorize.safetensors",
        "for `pellucid colorize`: colour for grey photographs, as words or another picture say, or as it chooses",
    ),
    "inpaint": Embedded(
        "inpaint.safetensors", "for `pellucid inpaint`: what is missing in photographs, filled where a mask says so"
    ),
    "upscale": Embedded(
        "upscale.safetensors",
        "photographs 2, 3 and 4 times as large, and by any factor between and up to 8; blind to mild blur, noise, JPEG",
    ),
    "upscale-bicubic": Embedded(
        "upscale-bicubic.safetensors",
        "the same of pictures that the bicubic kernel made small and that have nothing else: for the tables",
    ),
}

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""Of files that may hold a model: the first ours, all of them the weights of published networks."""


def find_model(name: str) -> Path:
    """The file of a model.

    Args:
        name: an embedded model's name, the path of a model file or of a published network's weights, or
            `hf:owner/repository[/file]`.

    Raises:
        ModelError: there is no such model; lists those there are.
    """
    if name in EMBEDDED:
        return Path(str(files("pellucid") / "models" / "weights" / EMBEDDED[name].file))
    if name.startswith("hf:"):
        return _from_hub(name.removeprefix("hf:"))
    path = Path(name)
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return path
        packed = "; `pellucid models import` reads packages of TensorFlow.js" if path.suffix.lower() == ".tgz" else ""
        raise ModelError(f"{name}: not a file of weights; known: {', '.join(SUFFIXES)}{packed}")
    if path.is_dir():
        raise ModelError(f"{name}: a folder, not a model file{_meant_by(path)}")
    if path.suffix or len(path.parts) > 1:
        raise ModelError(f"{name}: no such model file")
    raise ModelError(f"{unknown_name('model', name, EMBEDDED)}, a .safetensors file, or hf:owner/repository")


def _meant_by(folder: Path) -> str:
    """What somebody who names a folder may have wanted."""
    if (folder / "model_index.json").is_file():
        return (
            "; a pipeline of Stable Diffusion is taken by a recipe, as network.settings: {family: sd, source: FOLDER}"
        )
    file = folder / "model.safetensors"
    return f"; it holds {file}" if file.is_file() else ""


def _from_hub(name: str) -> Path:
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository:
        raise ModelError(f"hf:{name}: expected hf:owner/repository or hf:owner/repository/file.safetensors")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its retries would be eleven lines; the reason comes with our error

    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file or "model.safetensors"))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = one_line(error)
        raise ModelError(f"hf:{name}: cannot be fetched, and is not in the local cache ({reason})") from error
