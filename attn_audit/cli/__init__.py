"""The command line: one file for each command. The only room that prints, asks, and ends the process."""
