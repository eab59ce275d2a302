"""A network as C for a microcontroller: int8 kernels, one static arena, no runtime, and its proof by emulation.

QuantisedNetwork    a graph and the integers of its layers (`quantised`)
Layout              the place of each tensor in the arena (`layout`)
c_source, c_header  the two files (`source`, `header`)
Board, emulate      bare-metal firmware around them, run by QEMU (`boards`, `emulation`)
"""
