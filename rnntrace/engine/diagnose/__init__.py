"""Which mistake explains given values: the catalogue of mistakes, and the search through it."""
