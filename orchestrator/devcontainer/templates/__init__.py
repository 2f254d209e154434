"""Templates of dev containers: files with holes that options fill, from our own collection, a folder or a registry."""
