"""The program that starts commands under bubblewrap at the place, and the client that talks to it."""
