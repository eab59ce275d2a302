"""The chart of one training: loss and accuracy per epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from memnas_core.pictures.canvas import inner_axes, picture, whole_numbers
from memnas_core.pictures.look import ACCENT, BLUE, CHART_WIDTH

if TYPE_CHECKING:  # it imports torch, which a chart does not need
    from memnas_core.records.trainings import EpochFigures

DOTS_UP_TO = 40


def history_svg(history: "Sequence[EpochFigures]") -> str:
    """Return a chart of a training's loss and accuracy per epoch as SVG.

    Args:
        history: Figures of each epoch; a single epoch is drawn as dots.
    """
    epochs = [line.epoch for line in history]
    measured = [line.validation_accuracy for line in history]
    validated = [100 * value for value in measured if value is not None]
    panels = [
        (
            "training loss (cross-entropy, augmented images)",
            [("training", BLUE, [line.train_loss for line in history])],
        ),
        (
            "accuracy, %",
            [
                ("training", BLUE, [100 * line.train_accuracy for line in history]),
                *([("validation", ACCENT, validated)] if validated else []),
            ],
        ),
    ]

    def draw(figure: Figure) -> None:
        width = (CHART_WIDTH - 0.3) / len(panels)
        marker = "o" if len(epochs) <= DOTS_UP_TO else "none"
        for place, (title, lines) in enumerate(panels):
            axes = inner_axes(figure, 0.55 + place * width, 0.42, width - 0.7, 1.75)
            for name, color, values in lines:
                axes.plot(epochs, values, color=color, label=name, lw=1.3, marker=marker, ms=3)
            axes.set_title(title, pad=10)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(whole_numbers(10))
            axes.grid(axis="y")
            if len(lines) > 1:
                axes.legend(loc="lower right")
            else:
                axes.set_ylim(bottom=0)

    return picture(CHART_WIDTH, 2.7, f"training of {len(history)} epochs", draw)
