"""The tfds builder of records; tfds requires a package of its own for it."""
