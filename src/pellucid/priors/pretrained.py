"""Pre-trained models by their name on the Hugging Face hub or by a folder: found, loaded quietly, or an error of one
line."""

import importlib
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from pellucid.errors import MissingExtraError, ModelError, PellucidError, one_line

__all__ = [
    "TOWER_FILES",
    "image_settings",
    "load_module",
    "load_pretrained",
    "patch_map",
    "quiet",
    "read_tensors",
    "require",
]

PREPROCESSOR = ("preprocessor_config.json", "processor_config.json")
"""Where the image processor's settings stand: in a file of their own, or among those of a whole processor."""

TOWER_FILES: Mapping[str, Sequence[str]] = {
    "config.json": ("config.json",),
    PREPROCESSOR[0]: PREPROCESSOR,
    "model.safetensors": ("*.safetensors", "pytorch_model*.bin"),
}
"""What the folder of an image tower holds: by the name shown when it is missing, patterns of which one must match."""

INDEX = "model.safetensors.index.json"

Loaded = TypeVar("Loaded")


def require(package: str, extra: str) -> None:
    """Raises MissingExtraError, which names the extra, unless the optional package can be imported."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra) from error


def load_pretrained(
    prior: str, name: str, load: Callable[[str, bool], Loaded], *, files: Mapping[str, Sequence[str]], what: str
) -> Loaded:
    """What `load(name, local)` returns, for a folder or a name on the hub; `local` forbids it to download.

    A name is looked for in the local cache first; only what is not there is downloaded.

    Args:
        prior: the prior's name in specs, for messages.
        name: a folder, or a name on the hub.
        load: raises anything where files are missing or wrong.
        files: what a folder must hold, as TOWER_FILES.
        what: "a CLIP or SigLIP model" and the like, for messages.

    Raises ModelError when files are missing, cannot be had, or hold something else.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_folder(folder, files)
        return _attempt(str(folder), load, (True,), f"its files cannot be used as {what}")
    if folder.is_absolute() or name.startswith(".") or folder.exists():
        raise ModelError(f"{name}: no such folder")
    return _attempt(
        name,
        load,
        (True, False),
        f"neither a folder, nor in the Hugging Face cache, nor could it be downloaded; run `hf download {name}` "
        f"where there is a network, or give a folder as {prior}:FOLDER",
    )


def _check_folder(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    missing = [shown for shown, patterns in files.items() if not any(any(folder.glob(one)) for one in patterns)]
    if missing:
        raise ModelError(
            f"{folder}: this folder lacks {' and '.join(missing)}; save the model with all its parts into it "
            "with save_pretrained, or download the whole repository"
        )


def _attempt(name: str, load: Callable[[str, bool], Loaded], local: Sequence[bool], complaint: str) -> Loaded:
    """Loads locally only or not, one after the other, and reports the last failure."""
    with quiet():
        for only in local:
            try:
                return load(name, only)
            except PellucidError:
                raise
            except Exception as error:  # files can be wrong in any way, and every library says it in its own
                failure = error
    raise ModelError(f"{name}: {complaint} ({one_line(failure)})") from failure


def load_module(kind: Any, name: str, local: bool, *, part: str, **more: Any) -> Any:
    """A model of a class of transformers or diffusers, in float32, all of whose weights come from its files.

    Args:
        kind: the class.
        name: a folder, or a name on the hub.
        local: whether downloading is forbidden.
        part: what the model is to the whole, for the message.
        more: further arguments of the class's `from_pretrained`.

    Raises ModelError where a weight is missing or of another shape: the libraries go on with random numbers there.
    """
    module, report = kind.from_pretrained(
        name,
        local_files_only=local,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **more,
    )
    unfit = sorted(report["missing_keys"]) + sorted(entry[0] for entry in report["mismatched_keys"])
    if unfit:
        raise ModelError(f"{name}: its weights are not those of its {part}: {unfit[0]} is missing or misshapen")
    return module


def image_settings(name: str, local: bool) -> dict[str, Any]:
    """The settings of a model's image processor; `image_mean` and `image_std` are there, three numbers each.

    Read as they are: the processors' classes would need Pillow or torchvision, and crop the margins away. Raises
    OSError when there are none, and ModelError when mean and deviation are not among them.
    """
    settings = json.loads(_first_file(name, PREPROCESSOR, local).read_text(encoding="utf-8"))
    settings = settings.get("image_processor", settings)
    for key in ("image_mean", "image_std"):
        numbers = settings.get(key)
        if (
            not isinstance(numbers, list)
            or len(numbers) != 3
            or not all(isinstance(one, int | float) for one in numbers)
        ):
            raise ModelError(f"{name}: {PREPROCESSOR[0]} lacks {key}, three numbers")
        if key == "image_std" and min(numbers) <= 0:
            raise ModelError(f"{name}: {PREPROCESSOR[0]} has an image_std that is not above 0, {numbers}")
    return dict(settings)


def read_tensors(name: str, prefixes: tuple[str, ...], local: bool) -> dict[str, Tensor]:
    """The tensors of a model whose keys start with one of `prefixes`, as float32.

    Nothing else is read: files that hold none of them are neither downloaded nor opened. Raises OSError when a file is
    missing, and what safetensors raises when one is damaged.
    """
    file = _first_file(name, (INDEX, "model.safetensors"), local)
    files = [file]
    if file.name == INDEX:
        places: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
        needed = sorted({shard for key, shard in places.items() if key.startswith(prefixes)})
        files = [_first_file(name, (shard,), local) for shard in needed]
    tensors: dict[str, Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as opened:
            keys = [key for key in opened.keys() if key.startswith(prefixes)]  # noqa: SIM118
            tensors |= {key: opened.get_tensor(key).float() for key in keys}
    return tensors


def patch_map(tokens: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Patch tokens (B, n, C) of a view of `size`, row by row, to a map (B, C, h, w) in float32; patches of side
    `patch`."""
    height, width = size[0] // patch, size[1] // patch
    return tokens.transpose(1, 2).reshape(len(tokens), -1, height, width).float()


def _first_file(name: str, files: Sequence[str], local: bool) -> Path:
    """The first of some files that a folder, the cache or (unless `local`) the hub has. Raises OSError where none
    is."""
    from transformers.utils import cached_file

    for file in files:
        try:
            return Path(cached_file(name, file, local_files_only=local))
        except OSError as error:
            failure = error
    raise failure


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, reports, retries or quarrels between the libraries on the terminal while loading; as it was,
    afterwards."""
    names = [name for name in ("transformers", "diffusers", "huggingface_hub") if name in sys.modules]
    libraries: list[Any] = [importlib.import_module(f"{name}.utils.logging") for name in names]
    bars = [library for library in libraries if getattr(library, "is_progress_bar_enabled", bool)()]
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity(logging.ERROR)
    for library in bars:
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        for library in bars:
            library.enable_progress_bar()
