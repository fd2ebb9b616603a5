"""What a user hands in, read: files, arrays and names become modules, signals and expected values."""
