"""``imctl explain``: why did Bob not get it?"""
