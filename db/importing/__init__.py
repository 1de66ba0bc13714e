"""Existing data, taken over in batches: each is brought into a temporary table and then inserted and updated set-based.

No MERGE: what a batch comes to is worked out once into a second temporary table (which row is new, changed, the same or
wrong), and three plain statements do the rest on all three servers.
"""
