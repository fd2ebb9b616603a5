"""The version, by itself: every floor may name it, and loads nothing else with it."""

__version__ = "0.1.0"
