"""What a forecast is worth: metrics with intervals, beside floors tuned as hard as the model."""
