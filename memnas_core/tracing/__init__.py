"""Any torch network, or an exported program, as a graph of layers and tensors."""
