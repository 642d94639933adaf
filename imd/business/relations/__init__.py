"""How people stand to each other: friends, blocks, privacy, and who may write to whom."""
