"""The nodes of a cluster: who is alive, and which of them owns which shard."""
