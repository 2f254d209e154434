"""How each kind of agent writes its events; one module for each. ``text`` is the smallest: read it first."""
