"""Changes how a model file's model restores, and nothing else of it: its weights stay bit for bit.

    python tools/set_policy.py src/pellucid/models/weights/default.safetensors 'refined=["haze", "low-light", "rain"]'

What can be said, and what it means, stands at `Policy` (`pellucid.models.header`).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.errors import ModelError
from pellucid.models.file import describe_model, read_tensors, write_tensors


def main() -> None:
    """Reads the arguments and changes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("settings", nargs="+", help="NAME=VALUE, the value in JSON")
    options = parser.parse_args()
    try:
        header = describe_model(options.model)
        policy = replace(header.policy, **dict(setting(text) for text in options.settings))
        write_tensors(read_tensors(options.model), options.model, replace(header, policy=policy))
    except (ModelError, TypeError, ValueError) as error:
        parser.error(str(error))


def setting(text: str) -> tuple[str, Any]:
    """A name and its value. Raises ValueError."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


if __name__ == "__main__":
    main()
