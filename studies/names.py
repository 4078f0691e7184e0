"""Names that the studies' config files list, apart from the modules that make what they name.

A config file is read before anything heavy is imported.
"""

# Modalities of the planted market (data/planted.py); NUMERIC: channels of its folder.
MODALITIES = ("numeric", "text", "chart", "audio", "video", "source")
NUMERIC = tuple(f"numeric_{i}" for i in range(8))
# Of the handwritten digits (data/digits.py); JUNK are those of corruption "junk".
VIEWS = tuple(f"view{i}" for i in range(1, 7))
JUNK = tuple(f"junk_{i}" for i in range(len(VIEWS)))
# Of the pictures of candles (data/candles.py).
CANDLES = "chart"
