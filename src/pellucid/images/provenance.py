"""What restored a photograph, and how, in its XMP: one description of its own, which a second one replaces.

The specification: Adobe's XMP Specification Part 1 (ISO 16684-1), Annex C.
"""

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

__all__ = ["SPACE", "with_provenance"]

SPACE = "urn:pellucid:restoration:1.0#"
"""The namespace of the properties."""

_EMPTY = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def with_provenance(xmp: bytes, said: Mapping[str, str]) -> bytes:
    """`xmp` that says these properties of a restoration, and no earlier one's; as it was where it is no XMP.

    Args:
        xmp: the packet; empty where there is none, and then one is made.
        said: the properties by their names.
    """
    packet = re.sub(_own(xmp), b"", xmp) if xmp else _EMPTY
    found = re.search(rb"</([\w.-]+):RDF\s*>(?!.*</[\w.-]+:RDF\s*>)", packet, re.DOTALL)
    if not found:
        return xmp
    prefix = found[1].decode("ascii", "replace")
    rows = "".join(f"\n pellucid:{name}={quoteattr(_plain(text))}" for name, text in said.items())
    own = f'<{prefix}:Description {prefix}:about="" xmlns:pellucid="{SPACE}"{rows}/>\n'
    return packet[: found.start()] + own.encode() + packet[found.start() :]


def _own(xmp: bytes) -> bytes:
    """An expression for what an earlier restoration has said, as it was written or as other programs have rewritten
    it."""
    space = re.escape(SPACE.encode())
    whole = rb"<[\w.-]+:Description\s[^<>]*xmlns:pellucid=[\"']%s[\"'][^<>]*/>\s*" % space
    parts = rb"\spellucid:\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')|<pellucid:(\w+)>[^<]*</pellucid:\1>\s*"
    return whole + (b"|" + parts if space in re.escape(xmp) else b"")


def _plain(text: str) -> str:
    """A text without what XML cannot hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
