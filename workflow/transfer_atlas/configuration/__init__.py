"""Reading a configuration, checking it, and saying in plain words what is wrong with it."""
