"""Random programs: a seed and an index give the same program for ever."""

from interop.differential.generate.themes import THEMES, make_program

__all__ = ["THEMES", "make_program"]
