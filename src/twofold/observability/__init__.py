"""What a system says about itself while it runs: logs and metrics."""
