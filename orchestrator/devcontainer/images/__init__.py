"""Images for dev containers: of a Dockerfile, with features on it, with the user's own uid. ``image`` is the way in.

Ours have names of our own only, made from what is in them, so that two builds at once cannot mix.
"""
