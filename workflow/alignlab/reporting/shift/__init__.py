"""The token-shift page: its tables, its data files and its figures."""
