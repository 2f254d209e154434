"""Words in, exit code out. Each command's module is imported when the command is used."""
