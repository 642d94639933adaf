"""The tests of imd; the folders mirror imd/.

Properties are tried on the same examples every time, so that a red run can be repeated.
"""

from hypothesis import settings

settings.register_profile("imd", deadline=None, database=None, derandomize=True)
settings.load_profile("imd")
