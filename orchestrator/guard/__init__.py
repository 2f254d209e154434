"""The Docker guard: the only daemon socket that an agent sees. What it does not know it refuses.

``calls`` has the words; the pure modules judge, ``server`` and its neighbours act.
"""
