"""The plugin's fixture, also where the package is not installed with its entry point."""

from kloupe.testing import kloupe

__all__ = ["kloupe"]
