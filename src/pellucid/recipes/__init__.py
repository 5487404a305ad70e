"""The recipes that come with the package: one page of YAML each, complete, and nothing else is hidden in code.

Where photographs and weights lie is said by `{data}` and `{weights}`, for which see `training.places`.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from pellucid.errors import SettingsError, one_line, unknown_name

__all__ = ["RECIPES", "load_tree"]

RECIPES: tuple[str, ...] = tuple(
    sorted(Path(entry.name).stem for entry in files(__package__).iterdir() if entry.name.endswith(".yaml"))
)
"""The names of the embedded recipes."""


def load_tree(name: str) -> dict[str, Any]:
    """The tree of a recipe, by its name or as the path of a YAML file.

    Raises:
        SettingsError: there is no such recipe, or it is not YAML.
    """
    import yaml

    path = Path(name)
    if name in RECIPES:
        text = (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
    elif path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: the recipe cannot be read ({error})") from error
    else:
        raise SettingsError(f"{unknown_name('recipe', name, RECIPES)}, or a .yaml file")
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{name}: not YAML ({one_line(error)})") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{name}: a recipe is a mapping of keys to values")
    return tree
