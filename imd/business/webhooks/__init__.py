"""What the operator's own server is told: kept with the change it tells of, sent in order, until it was taken."""
