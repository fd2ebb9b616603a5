"""The library's verbs. Each returns a result, never text."""
