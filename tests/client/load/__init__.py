"""The load generator's counting, against a fake server that misbehaves on demand."""
