"""aienv: throw-away places for AI coding agents.

The import package of the ``aienv`` command. Importing it must stay light: nothing but this
string and the version is loaded here; every heavy library is imported by the command that needs it.
"""

__version__ = "0.1.0"
