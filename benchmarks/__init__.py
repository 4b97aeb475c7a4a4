"""What Twofold costs, measured beside its limits and a peer in one run: `python -m benchmarks --help`."""
