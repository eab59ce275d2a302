"""Ways to search the same space, one file each; `benchmarks.search` compares them.

A method is a function of the space, a function that trains, and a seed (`benchmarks.search.methods.interface`).
"""
