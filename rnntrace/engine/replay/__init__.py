"""The replay of a cell, from its declaration: a program in numpy, window by window, and the trace it leaves."""
