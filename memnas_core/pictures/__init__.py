"""Pictures as SVG text: an architecture, its tensors in time and in an arena, and charts of a search."""

from memnas_core.pictures.architecture import architecture_svg
from memnas_core.pictures.arena import arena_svg
from memnas_core.pictures.front import front_svg
from memnas_core.pictures.history import history_svg
from memnas_core.pictures.lifetimes import lifetime_svg
from memnas_core.pictures.lineage import lineage_svg
from memnas_core.pictures.rounds import rounds_svg, time_svg

__all__ = [
    "architecture_svg",
    "arena_svg",
    "front_svg",
    "history_svg",
    "lifetime_svg",
    "lineage_svg",
    "rounds_svg",
    "time_svg",
]
