"""Records to bytes: each module makes one kind of view, and no view reads a clock, the environment or the network."""
