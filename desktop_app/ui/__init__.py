"""The window. It talks to the desk's protocols and to nothing below them; only this package (and the pool) uses Qt."""
