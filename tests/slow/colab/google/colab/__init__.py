"""Stands in for Colab's own package, which every cell of a runtime finds loaded."""

from google.colab import output

__all__ = ["output"]
