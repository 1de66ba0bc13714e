"""Item models: frozen rows from the desk, fetched a page at a time through the background."""
