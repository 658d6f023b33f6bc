"""Everything that needs a model: load, prompt, answer, units, suppression, sweep."""
