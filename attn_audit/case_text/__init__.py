"""The text of a case file to a tree of nodes that know their lines; refuses what is ambiguous."""
