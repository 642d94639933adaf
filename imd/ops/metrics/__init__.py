"""What a process tells Prometheus: the table of all metrics, and the port at which they are read."""
