"""A trained network as a file that a runtime executes, checked by executing it.

Each format is a module: `onnx_file`, `executorch_file`, `pt2_file`. They turn a `DeployedNetwork` into bytes and open
such bytes with the format's runtime. `check` compares what the opened file computes with the torch network, `card`
writes the page that goes with a file, `store` finds trained networks. The runtimes are an optional extra.
"""
