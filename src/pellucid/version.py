"""The version, alone in its file: whoever needs it imports nothing else."""

__all__ = ["__version__"]

__version__ = "0.1.0"
