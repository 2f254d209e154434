"""The operator's MCP servers: read from any agent's configuration, judged, and written in the format of the agent that runs. Pure.

A text may refer to a variable of the environment as ``${NAME}``; the other agents' spellings are brought to this one when read.
"""

import re

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
