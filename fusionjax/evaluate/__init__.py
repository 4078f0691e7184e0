"""What a forecast is worth: metrics with intervals, beside baselines tuned as hard as the model."""
