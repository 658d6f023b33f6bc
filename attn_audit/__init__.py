"""Evidence of what drove a language model's answer: measured, checked and signed."""

__version__ = "0.1.0"
