"""Reading files that others may have written, and writing files so that a reader sees a whole file or none."""
