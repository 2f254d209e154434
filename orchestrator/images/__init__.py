"""Images and the toolbox: what an environment is made of, built once and kept in the cache or the engine."""
