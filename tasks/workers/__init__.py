"""What a search needs of its workers, and a Ray cluster as one kind of them (`memnas_core.workers` is the other)."""
