"""How data is made. Every file here is a command; every folder is plumbing."""
