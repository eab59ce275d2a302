"""Records of candidates, rounds and trainings, as typed rows and on disk."""
