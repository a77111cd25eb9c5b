"""Hash functions of the supported suites."""
