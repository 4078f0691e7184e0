"""tfds builders of the record sets; tfds requires a package of its own for each."""
