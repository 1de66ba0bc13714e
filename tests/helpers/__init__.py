"""What several test folders share: databases to test on, and small fakes."""
