"""Builds the parts and wires them: the one place that names everyone.

Everything is imported inside the functions that need it, so that a first window and a command's help wait for nothing.
"""
