"""What of each role is counted, and where: sources for imd.ops.metrics."""
