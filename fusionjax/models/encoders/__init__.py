"""One encoder a form of input: an input and its mask to tokens of the shared width."""
