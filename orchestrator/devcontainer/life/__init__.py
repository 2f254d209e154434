"""Dev containers while they live: made, found again, prepared, their hooks run, commands in them, stopped, removed."""
