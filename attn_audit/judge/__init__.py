"""Arithmetic on recorded numbers: the same code makes a record and checks it. No model, no torch."""
