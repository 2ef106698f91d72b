"""How flows are run: the command line and the local server."""
