"""What a training survives, measured: kills, rebounds of its loss, ten thousand steps."""
