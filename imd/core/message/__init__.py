"""Messages: append, fan-out, history, receipts, recall."""
