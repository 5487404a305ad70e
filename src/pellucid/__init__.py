"""pellucid restores photographs, and puts a small trainable refinement on any restoration network.

    import pellucid
    pellucid.restore("night.jpg", "night-restored.jpg")
    restorer = pellucid.load("default")
    pellucid.restore("small.jpg", "large.jpg", scale=4)
    picture = restorer(picture, text="remove the noise but keep the grain")
    pellucid.colorize("old.jpg", "coloured.jpg", text="green field, blue sky")
    pellucid.inpaint("photo.png", "filled.png", mask="scratches.png")
    picture = restorer(picture)                           # path, PIL image, numpy array or tensor in; the same kind out
    boosted = pellucid.boost(network, prior="clip")       # any nn.Module image -> image
    pellucid.fit(boosted, "photographs", degradations=["noise sigma=5..50"], steps=2000)
    pellucid.save(boosted, "boosted.safetensors")
    print(pellucid.evaluate({"plain": network, "boosted": boosted}, "cbsd68", sigmas=[25]))

Importing this package loads no torch; using it does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid import errors
from pellucid.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from pellucid.evaluation.evaluate import evaluate
    from pellucid.models.boosting import boost
    from pellucid.models.save import save
    from pellucid.restoration.restorer import Restorer
    from pellucid.training.fit import fit
    from pellucid.words.wishes import wishes_in as wishes

__all__ = [
    "Restorer",
    "__version__",
    "boost",
    "colorize",
    "errors",
    "evaluate",
    "fit",
    "inpaint",
    "load",
    "restore",
    "save",
    "wishes",
]

_LAZY = {
    "Restorer": "pellucid.restoration.restorer",
    "boost": "pellucid.models.boosting",
    "evaluate": "pellucid.evaluation.evaluate",
    "fit": "pellucid.training.fit",
    "save": "pellucid.models.save",
}
_RENAMED = {"wishes": ("pellucid.words.wishes", "wishes_in")}


def load(
    name: str | Path | None = None,
    *,
    network: "nn.Module | None" = None,
    import_network: bool = False,
    **options: Any,
) -> "Restorer":
    """A restorer from a model's name, a model file, the weights of a published network, or `hf:owner/repository`.

    How it restores beyond calling the model once, such as leaving alone photographs with which most surely nothing is
    wrong, stands in the model's file.

    A model file that was trained with a network of your own needs it: `network`, the module, which is given the weights
    of `FILE.network.safetensors` beside the file where it has others; or `import_network`, which imports the one that
    the file names and so runs its code.

    Args:
        name: of the model; None is `default`, or with a `scale` `upscale`.
        network: of your own.
        import_network: import it.
        options: of `pellucid.restoration.options.RestoreOptions`, such as strength, tile, memory, device, scale, only,
            detail.

    Raises:
        ModelError: there is no such model, its file is damaged, or it needs a network of your own.
        SettingsError: an option that cannot be.
    """
    from pellucid.models.hub import find_model
    from pellucid.models.load import load_model
    from pellucid.restoration.restorer import Restorer

    if name is None:
        name = "default" if options.get("scale") is None else "upscale"
    model = load_model(find_model(str(name)), network=network, import_network=import_network)
    return Restorer(model.module, name=str(name), policy=model.header.policy, **options)


def restore(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | None = None,
    every_page: bool = False,
    **options: Any,
) -> tuple[str, ...]:
    """Restores one file into another; metadata, bit depth, alpha and colours are kept. Returns what could not be, in
    words.

    Args:
        source: the file.
        target: where to; its suffix says the format.
        model: the name of a model.
        every_page: all pages of a TIFF and all frames of an APNG, a WebP or a GIF, not the first alone.
        options: of `pellucid.restoration.options.RestoreOptions`, such as strength, scale, detail, mask or crop.

    Raises:
        ImageError: the source cannot be read, the target cannot be written, or they are the same file.
        ModelError: there is no such model.
        SettingsError: an option that cannot be.
    """
    from pellucid import images

    source, target = Path(source), Path(target)
    if target.exists() and target.samefile(source):
        raise errors.ImageError(f"{target}: is the input itself; choose another output")
    restorer = load(model, **options)
    photograph = images.read(source, memory=restorer.memory_for_pictures, every_page=every_page)
    return images.write_change(restorer(photograph), target, photograph, source)


def colorize(
    source: str | Path,
    target: str | Path,
    *,
    text: str | None = None,
    saturation: float = 1.0,
    palette: str | Path | None = None,
    model: str | Path = "colorize",
) -> tuple[str, ...]:
    """Colours one file into another; lightness, metadata, depth and alpha are kept. Returns what could not be, in
    words.

    Args:
        source: the file; where it has colours already they are not looked at.
        target: where to; its suffix says the format.
        text: what has which colour, in English, as in `green field, blue sky`; None lets the model choose.
        saturation: the colours times this, 0 to 3.
        palette: a picture whose colours are taken.
        model: the name of a model, or its file.

    Raises:
        ImageError: a file cannot be read or written, or the target is the source.
        ModelError: there is no such model, or it colours nothing.
        SettingsError: the text is empty, not English, or says nothing of colours; a saturation out of its range.
    """
    from pellucid.editing.colour import Colouring, ColourOptions

    return _edited(source, target, Colouring(model, ColourOptions(text, saturation, palette)).change)


def inpaint(
    source: str | Path,
    target: str | Path,
    *,
    mask: Any,
    text: str | None = None,
    model: str | Path = "inpaint",
) -> tuple[str, ...]:
    """Fills one file into another where a mask is white; every other pixel stays. Returns what could not be kept.

    Args:
        source: the file.
        target: where to; its suffix says the format. JPEG, WebP and AVIF code the whole picture anew.
        mask: a path or a picture of the same size.
        text: colours of what is filled, in English.
        model: the name of a model, or its file.

    Raises:
        ImageError: a file cannot be read or written, the target is the source, or the mask has another size.
        ModelError: there is no such model, or it fills nothing.
        SettingsError: the mask is empty or covers everything; the text as in `colorize`.
    """
    from pellucid.editing.filling import Filling

    return _edited(source, target, Filling(mask, model, text).change)


def _edited(source: str | Path, target: str | Path, change: Any) -> tuple[str, ...]:
    from pellucid import images

    source, target = Path(source), Path(target)
    if target.exists() and target.samefile(source):
        raise errors.ImageError(f"{target}: is the input itself; choose another output")
    photograph = images.read(source)
    return images.write_change(change(photograph)[0], target, photograph, source)


def __getattr__(name: str) -> Any:
    if name in _LAZY or name in _RENAMED:
        from importlib import import_module

        room, there = _RENAMED.get(name) or (_LAZY[name], name)
        return getattr(import_module(room), there)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")
