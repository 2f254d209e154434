"""Agent profiles: how one kind of agent is started. ``command`` is the smallest: read it first."""
