"""One module per target: ``one_input(data: bytes)`` asserts what must hold for any bytes.

``SEEDS``, which may be left out, are inputs to begin with; ``WORDS`` are pieces that get far.

A target must end without an exception; the errors that its subject documents are part of what it expects.
"""
