"""ARCHITECTURE.md against the code: its tree has every room, its import law holds, and no files import in circles."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pellucid"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

LAW = re.search(r"Imports point one way only,.*?\n\n((?:    [a-z_ ]+\n)+)", PAGE, re.DOTALL)
# Top to bottom; a room may import rooms of the lines above its own, and of its own line only itself.
GROUPS = [set(line.split()) for line in LAW[1].splitlines()] if LAW else []
LEVEL = {room: level for level, group in enumerate(GROUPS) for room in group}


def tree_of(page: str) -> list[str]:
    """The paths in the tree of ARCHITECTURE.md, below `src/pellucid/`, folders with a slash at the end."""
    paths, folder = [], ""
    for indent, name in re.findall(r"^    (│?   )?[├└]── (\S+)", page, re.MULTILINE):
        paths.append(folder + name if indent else name)
        folder = folder if indent else name
    return paths


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


FILES = sorted(path for path in SOURCE.rglob("*.py") if room_of(path) not in ("__init__", "__main__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_point_up(path):
    own = room_of(path)
    for other in imported_rooms(path):
        assert other == own or LEVEL[other] < LEVEL[own], f"{path.relative_to(SOURCE)} imports {other}"


def test_the_law_has_every_room_once():
    listed = [room for group in GROUPS for room in group]
    assert sorted(listed) == sorted({room_of(path) for path in FILES})


def test_the_tree_has_every_room_and_no_other():
    files = {path.name for path in SOURCE.glob("*.py")}
    folders = {f"{path.parent.relative_to(SOURCE)}/" for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE}
    assert sorted(tree_of(PAGE)) == sorted(files | folders)


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_on_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What runs when a file is imported: nothing in functions, nothing for type checkers alone."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from run_on_import(node.orelse)
            continue
        yield node
        yield from run_on_import(ast.iter_child_nodes(node))


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """The files of ours that a file imports, by their modules."""
    found = set()
    for node in run_on_import(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules
            found |= {node.module} if names - modules else set()
    return found & modules - {module_of(path)}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle of a graph, the first of them again at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}})[1:]) == ["b", "c"]


def test_no_files_import_in_a_circle():
    paths = {module_of(path): path for path in SOURCE.rglob("*.py")}
    graph = {module: imported_modules(path, set(paths)) for module, path in paths.items()}
    assert graph["pellucid.cli.data"] >= {"pellucid.cli.data_output", "pellucid.errors"}
    assert circle_in(graph) == []


def test_lines_of_the_page_are_short():
    assert [line for line in PAGE.splitlines() if len(line) > 120] == []


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
        "colorize",
        "errors",
        "evaluate",
        "fit",
        "inpaint",
        "load",
        "restore",
        "save",
        "wishes",
    }
    assert all(getattr(pellucid, name) for name in pellucid.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pellucid.nothing
