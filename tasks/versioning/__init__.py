"""DVC: versions of data, rounds and chosen networks, and their copies elsewhere. No other package imports dvc."""
