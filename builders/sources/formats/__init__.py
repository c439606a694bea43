"""Files that hold rows, read as Parquet whatever they are: found, unpacked, decoded, parsed, converted once."""
