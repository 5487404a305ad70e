"""The import law: an arrow between rooms points one way only. Read from the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pellucid"

# Left to right; a room may import rooms of the groups to its left, and of its own group only itself.
GROUPS = (
    {"errors", "version"},
    {"guidance", "images", "layers", "checkpoints", "devices", "files"},
    {"degradations", "networks", "priors", "losses", "metrics"},
    {"refinement", "diffusion"},
    {"diagnosis"},
    {"data"},
    {"models"},
    {"restoration"},
    {"batch"},
    {"training", "evaluation"},
    {"recipes", "studies"},
    {"web"},
    {"cli"},
)
LEVEL = {room: level for level, group in enumerate(GROUPS) for room in group}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module] if node.module != "pellucid" else [f"pellucid.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("pellucid.")}
    return rooms & LEVEL.keys()


FILES = sorted(path for path in SOURCE.rglob("*.py") if path.name not in ("__main__.py",) and path.parent != SOURCE)
FILES += [SOURCE / f"{room}.py" for room in sorted(LEVEL) if (SOURCE / f"{room}.py").exists()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_point_left(path):
    own = room_of(path)
    for other in imported_rooms(path):
        assert other == own or LEVEL[other] < LEVEL[own], f"{path.relative_to(SOURCE)} imports {other}"


def test_every_room_has_a_place():
    rooms = {room_of(path) for path in SOURCE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms <= LEVEL.keys()


@pytest.mark.parametrize("module", ["pellucid", "pellucid.cli"])
def test_importing_loads_nothing_heavy(module):
    heavy = ("torch", "numpy", "pyvips", "transformers")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_surface_resolves():
    import pellucid

    assert set(pellucid.__all__) == {
        "Restorer",
        "__version__",
        "boost",
        "errors",
        "load",
        "restore",
    }
    assert all(getattr(pellucid, name) for name in pellucid.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pellucid.nothing
