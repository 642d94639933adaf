"""``imctl trace``: where did the time of a message go?"""
