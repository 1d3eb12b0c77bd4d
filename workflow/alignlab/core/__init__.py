"""What every room stands on: errors, tables, checksums, config models, stable random numbers."""
