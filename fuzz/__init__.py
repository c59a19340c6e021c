"""Fuzzing whatever reads what others wrote: `make fuzz`. See docs/reliability.md."""
