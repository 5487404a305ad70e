"""pellucid restores photographs, and makes any restoration network better with what pre-trained models already know.

    import pellucid
    pellucid.restore("night.jpg", "night-restored.jpg")
    restorer = pellucid.load("default")
    picture = restorer(picture)                           # path, PIL image, numpy array or tensor in; the same kind out
    boosted = pellucid.boost(network, prior="clip")       # any nn.Module image -> image

Importing this package loads no torch; using it does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid import errors

if TYPE_CHECKING:
    from torch import nn

    from pellucid.restoration.boosting import boost
    from pellucid.restoration.restorer import Precision, Restorer

__all__ = ["Restorer", "__version__", "boost", "errors", "load", "restore"]

__version__ = "0.1.0"

_LAZY = {"Restorer": "pellucid.restoration.restorer", "boost": "pellucid.restoration.boosting"}


def load(
    name: str | Path = "default",
    *,
    strength: float = 1.0,
    tile: int | None = None,
    memory: int | str | None = None,
    device: str = "auto",
    precision: "Precision" = "auto",
    passes: int = 3,
    always: bool = False,
    network: "nn.Module | None" = None,
    import_network: bool = False,
) -> "Restorer":
    """A restorer from a model's name, a model file, the weights of a published network, or `hf:owner/repository`.

    See `Restorer` for the options. The embedded model leaves photographs alone with which most surely nothing is wrong, unless
    `always` is set.

    A model file that was trained with a network of your own needs it: `network`, the module, which is given the weights of
    `network.safetensors` beside the file where it has others; or `import_network`, which imports the one that the file names
    and so runs its code.

    Raises:
        ModelError: there is no such model, its file is damaged, or it needs a network of your own.
        SettingsError: an option that cannot be.
    """
    from pellucid.diagnosis import load_diagnoser
    from pellucid.hub import EMBEDDED, find_model
    from pellucid.restoration.model_file import load_model
    from pellucid.restoration.restorer import Restorer

    module = load_model(find_model(str(name)), network=network, import_network=import_network).module
    return Restorer(
        module,
        strength=strength,
        tile=tile,
        memory=memory,
        device=device,
        precision=precision,
        passes=passes,
        diagnoser=load_diagnoser() if str(name) in EMBEDDED and not always else None,
    )


def restore(
    source: str | Path, target: str | Path, *, model: str | Path = "default", strength: float = 1.0
) -> tuple[str, ...]:
    """Restores one file into another; metadata, bit depth, alpha and colours are kept. Returns what could not be, in words.

    Raises:
        ImageError: the source cannot be read, the target cannot be written, or they are the same file.
        ModelError: there is no such model.
    """
    from pellucid import images

    source, target = Path(source), Path(target)
    if target.exists() and target.samefile(source):
        raise errors.ImageError(f"{target}: is the input itself; choose another output")
    photograph = images.read(source)
    return images.write_change(load(model, strength=strength)(photograph), target, photograph, source)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
