"""Classes of photos, by a trained network: what `memnas predict` and MLflow's models do (`classifier`)."""
