"""Python imports this in each process that tests start: it looks for garbage as seldom as theirs.

An eighth of the time of a process that imports torch and steps an optimizer went to looks among
the million objects that stay.
"""

import gc

gc.set_threshold(10_000, 20, 20)
