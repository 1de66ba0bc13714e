"""Device Association Desk: connects devices (SIMs) to customers, and keeps a complete record of it."""

__version__ = "0.1.0"
