"""The measured time of an image: of the right order, and larger for a larger network."""

import torch

from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training.speed import seconds_an_image


def test_a_network_of_many_more_products_takes_longer() -> None:
    threads = torch.get_num_threads()
    small = seconds_an_image(seed_architecture((2, 2), 4), Shape(1, 8, 8), 2, 16)
    large = seconds_an_image(seed_architecture((1, 1), 32), Shape(3, 32, 32), 2, 16)  # over 1,000 times the products
    assert 0 < small < large
    assert torch.get_num_threads() == threads
