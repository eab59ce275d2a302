"""The paper's experiments, one module for each stage of `dvc.yaml`; what they find goes to `results/`."""
