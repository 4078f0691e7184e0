"""From batches to parameters: state, loss, one step, the loop around it, and checkpoints."""
