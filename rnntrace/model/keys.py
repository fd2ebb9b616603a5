"""How one quantity of a module is named: its layer, its direction and its symbol."""

Key = tuple[int, str, str]
"""(layer, direction, symbol)"""
LayerDirection = tuple[int, str]
"""(layer, direction)"""
