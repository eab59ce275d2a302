"""The workers that train for a search: processes of this machine, or a Ray cluster."""
