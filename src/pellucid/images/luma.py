"""Luma: how bright a colour looks, as one number."""

__all__ = ["LUMA"]

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue have in it, in full range (ITU-R BT.601)."""
