"""Encoders, one a type of input: from an input and its mask to tokens of the shared width."""
