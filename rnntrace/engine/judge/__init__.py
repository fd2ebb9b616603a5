"""From two sets of values to a verdict: pairing, tolerance, rounding bounds, evidence."""
