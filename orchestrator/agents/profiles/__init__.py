"""The agents that aienv knows, one module each. Versions, switches and places were tried with the real programs (docs/agents.md)."""
