"""The window's building blocks. None of them knows the desk."""
