"""The one chain of migrations, for all three servers."""
