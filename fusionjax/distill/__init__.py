"""What later data teaches the fusion: weights, labels, and which modality to drop."""
