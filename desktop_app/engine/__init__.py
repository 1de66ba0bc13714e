"""The engine: claims due work orders, calls billing from a pool, records what became of it, and finishes jobs.

The database is the queue; an engine that dies leaves nothing but leases that end.
"""
