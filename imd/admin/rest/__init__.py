"""The HTTP side of im-admin: who asks, may they, and one place where every answer is made."""
