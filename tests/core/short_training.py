"""Settings and network of a training that takes a fraction of a second."""

from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.moves import seed_architecture

ARCHITECTURE = seed_architecture((1, 2), 4)

SHORT_TRAINING = TrainingSettings(
    epochs=1,
    batch_size=32,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    restart_epochs=None,
    restart_factor=1,
    crop_padding=1,
    cutout_size=2,
    device="cpu",
    precision="float32",
)
