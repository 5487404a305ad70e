"""The blocks of JPEG, which whoever looks for them must know."""

__all__ = ["JPEG_BLOCK"]

JPEG_BLOCK = 8
"""Side of a block, in pixels (ITU-T T.81, section A.1.1)."""
