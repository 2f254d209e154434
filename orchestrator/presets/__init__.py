"""Named groups of hosts. Those of package managers are read at launch from the client's own configuration on the user's side."""
