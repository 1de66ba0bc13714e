"""How fast the program is, each figure beside its baseline in the same run: ``python -m bench``.

Machines are shared and noisy, so nothing here stands on seconds alone: a figure and what it is compared with are
measured in turns, and their ratio is what the target is about. ``make bench`` writes docs/benchmarks.md.
"""
