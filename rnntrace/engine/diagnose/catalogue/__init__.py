"""The mistakes people make with recurrent networks, each declared once: what it changes, what it is called, how to fix it.

They were collected from public questions and from the conventions of frameworks. `diagnose` looks for one that explains a
difference, a run can make one on purpose, and a pass can be asked which of them it could not have seen.
"""
