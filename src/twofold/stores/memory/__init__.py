"""Event log and read store in the memory of one process: for tests, and for systems that may forget."""
