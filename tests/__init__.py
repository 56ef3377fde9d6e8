"""The test suite; it mirrors the library."""
