"""A registry of small sets, and their files."""

from pathlib import Path

REGISTRY = """
tiny:
  title: Tiny
  task: denoising
  split: test
  count: 3
  layouts: [{clean: "{name}"}]
  paper: nobody
  repository: owner/tiny
  commit: c0ffee
  origin: {"{name}": "sets/Tiny one/{name}"}
duo:
  title: Duo
  task: deraining
  split: test
  count: 3
  layouts: [{degraded: "rain/{name}", clean: "clean/{name}"}]
  paper: nobody
  repository: owner/duo
  commit: c0ffee
  origin: {"rain/{name}.png": "in/{name}_rain.png", "clean/{name}.png": "out/{name}.png"}
duo_part: {title: Part of Duo, split: test, count: 1, part_of: duo, stems: ["2"], notes: 1 of 3.}
hand:
  title: Hand
  task: deblurring
  split: test
  count: 2
  layouts:
    - {degraded: "test/{scene}/blur/{name}", clean: "test/{scene}/sharp/{name}"}
    - {degraded: "input/{name}", clean: "target/{name}"}
  paper: nobody
  get: the authors of Hand
"""


CONTENTS = {
    "tiny": {"a.png": b"first", "b ä.png": b"second one", "c.png": b""},
    "duo": {
        **{f"rain/{number}.png": f"rain {number}".encode() for number in (1, 2, 10)},
        **{f"clean/{number}.png": b"the same" if number < 10 else b"other" for number in (1, 2, 10)},
    },
}


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
