"""From downloads, as vendors write them, to a market folder with its config."""
