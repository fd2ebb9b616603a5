"""What a cell is: each cell declared once, as expressions, and the readings of that declaration."""
