"""Statistics of token shift: shares, curves, kinds of tokens, differences between pairs."""
