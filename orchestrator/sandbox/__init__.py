"""What a command may see and call: bubblewrap's options, the system call filter, the masks. Pure."""
