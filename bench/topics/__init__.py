"""What is measured: a module a topic, each with ``measure(run)`` that gives its figures."""
