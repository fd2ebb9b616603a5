"""Who else computes it: one file or folder per framework, which alone imports the framework, and only when it is asked for."""
