"""The names of outputs, after a template such as `{stem}-restored{suffix}`."""

import os
from pathlib import Path, PurePosixPath
from string import Formatter

from pellucid import images
from pellucid.errors import SettingsError, unknown_name

__all__ = ["PLACEHOLDERS", "check_template", "named"]

PLACEHOLDERS = {
    "stem": "the name without its suffix",
    "suffix": "of the output, with the dot",
    "name": "stem and suffix",
    "parent": "the folder of the photograph",
    "number": "its place among all, from 1; {number:04} pads it",
}
"""What a template may hold."""


def check_template(template: str) -> None:
    """Raises SettingsError, with what is known, where a template cannot name files."""
    try:
        fields = [(name, conversion) for _, name, _, conversion in Formatter().parse(template) if name is not None]
        for name, conversion in fields:
            if name not in PLACEHOLDERS:
                raise SettingsError(f"--name {template!r}: {unknown_name('placeholder', name, PLACEHOLDERS)}")
            if conversion:
                raise SettingsError(f"--name {template!r}: {{{name}!{conversion}}} is more than a name and a width")
        tried = _filled(template, "a", ".png", "b", 1)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SettingsError(f"--name {template!r}: cannot be understood ({error})") from error
    path = PurePosixPath(tried)
    if not path.name or path.is_absolute() or ".." in path.parts or tried.endswith("/"):
        raise SettingsError(f"--name {template!r}: must name a file below the folder of --out")
    if not images.supported(tried):
        known = ", ".join(sorted(images.SUFFIXES))
        raise SettingsError(f"--name {template!r}: must end in {{suffix}}, or in one of {known}")


def named(template: str, source: Path, target: Path, number: int) -> Path:
    """Where a photograph goes: beside `target`, under the name that the template makes of it."""
    parent = Path(os.path.abspath(source)).parent.name
    return target.parent / _filled(template, target.stem, target.suffix, parent, number)


def _filled(template: str, stem: str, suffix: str, parent: str, number: int) -> str:
    return template.format(stem=stem, suffix=suffix, name=stem + suffix, parent=parent, number=number)
