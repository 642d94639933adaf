"""What may be said: content policy, judged before a message is taken in."""
