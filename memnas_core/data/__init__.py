"""Images: found, split, prepared once as Arrow files, and memory-mapped by everyone who trains.

`augmentation` is imported from its own module because it needs torch.
"""

from memnas_core.data.dataset import Dataset, DatasetInfo, open_checked, open_dataset
from memnas_core.data.prepare import check_image_size, check_varied, find_local, prepare_dataset
from memnas_core.data.split_file import Split

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Split",
    "check_image_size",
    "check_varied",
    "find_local",
    "open_checked",
    "open_dataset",
    "prepare_dataset",
]
