"""What the fusion learns from later data: weights, soft labels, which modalities to drop."""
