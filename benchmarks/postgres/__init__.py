"""What Twofold costs on PostgreSQL, each role a process: `python -m benchmarks.postgres --help`."""
