"""New data arrives: go on from a checkpoint instead of starting again."""
