"""A trained network as a file that a runtime executes, checked by executing it.

`file_format` says what a format is; each is a module: `onnx_file`, `executorch_file`, `pt2_file`. `check` compares what
an opened file computes with the torch network, `card` writes the page that goes with a file, `store` finds trained
networks. The runtimes are an optional extra.
"""
