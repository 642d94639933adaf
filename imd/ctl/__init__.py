"""What operators run beside the roles: command lines and the cluster on one machine."""
