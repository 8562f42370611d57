"""How time passes: one folder per operation, raw numbers in and out; no neuron is known by name here."""
