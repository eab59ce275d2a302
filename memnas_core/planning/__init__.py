"""What a search is about to do, and how long that takes, measured before anything is trained."""
