"""tfds builders of the two record sets; tfds wants each in a package of its own name."""
