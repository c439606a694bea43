"""Raw sources and formats: one small file each, typed rows out."""
