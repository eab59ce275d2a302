"""The interface of a network's C: what a program that calls it sees, and what memnas reads from it again."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memnas_core.errors import InputError
from memnas_core.firmware.quantised import Quantisation
from memnas_core.space.layers import Shape

_FACTS = "/* memnas "
_NO_SOURCE = "expected a source of memnas export --format c, found another file"
_STAR = "\\u002a"
"""A star in JSON, where it can neither begin nor end a comment."""

_END = "/* end of the header */\n"


@dataclass(frozen=True, slots=True)
class Interface:
    """What a program needs to know to call a network.

    Attributes:
        prefix: What the names of its functions begin with.
        image: Channels, height and width of an image.
        classes: Names of the classes.
        arena_bytes: Static memory of the network.
        scores: What the scores stand for.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.
        notes: Lines about the network and its image, for the header.
    """

    prefix: str
    image: Shape
    classes: tuple[str, ...]
    arena_bytes: int
    scores: Quantisation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def macro(self) -> str:
        """What the names of its macros begin with."""
        return self.prefix.upper()

    def text(self) -> str:
        """Return the header with the facts that `read_interface` reads; the source begins with it."""
        image, macro, prefix = self.image, self.macro, self.prefix
        facts = {
            "prefix": prefix,
            "image": image,
            "classes": self.classes,
            "arena_bytes": self.arena_bytes,
            "scores": self.scores,
            "mean": self.mean,
            "std": self.std,
            "notes": self.notes,
        }
        notes = "\n".join(f"   {_in_comment(note)}" for note in self.notes)
        return f"""{_FACTS}{json.dumps(facts).replace("*", _STAR)} */
#ifndef {macro}_H
#define {macro}_H

/* {notes.strip()} */

#include <stdint.h>

#define {macro}_HEIGHT {image.height}
#define {macro}_WIDTH {image.width}
#define {macro}_CHANNELS {image.channels}
#define {macro}_CLASSES {len(self.classes)}

/* Static memory that the network takes; the stack comes on top. */
#define {macro}_ARENA_BYTES {self.arena_bytes}

/* A score s stands for (s - {macro}_SCORE_ZERO) * {macro}_SCORE_SCALE. */
#define {macro}_SCORE_ZERO ({self.scores.zero})
#define {macro}_SCORE_SCALE {np.float32(self.scores.scale)}f

extern const char *const {prefix}_class_names[{macro}_CLASSES];

/* Memory in the arena for the pixels of one image: a caller without memory of its own writes them there. */
uint8_t *{prefix}_image(void);

/* Takes the pixels of one image, bytes in the order height, width, channels; writes a score for each class, and returns
   the number of the class with the largest. `pixels` may be what {prefix}_image returns, whose content is lost.
   A table takes each byte to the network's value of (byte / 255 - mean) / std, with the channels'
   mean {_figures(self.mean)} and std {_figures(self.std)}. */
int {prefix}_run(const uint8_t *pixels, int8_t *scores);

#ifdef {macro}_TEST
/* Images to try it with, and their scores. */
#define {macro}_TEST_IMAGES {TEST_IMAGES}
extern const uint8_t {prefix}_test_pixels[{macro}_TEST_IMAGES][{image.elements}];
extern const int8_t {prefix}_test_scores[{macro}_TEST_IMAGES][{macro}_CLASSES];

/* Runs them, and returns how many images have other scores than they should. */
int {prefix}_test(void);
#endif

#endif
{_END}"""


TEST_IMAGES = 3


def header_of(source: str) -> str:
    """Return the header that a source begins with.

    Args:
        source: What `memnas_core.firmware.source.c_source` returned.
    """
    return source[: source.index(_END)]


def read_source(path: Path) -> str:
    """Return the text of a source.

    Raises:
        InputError: The file cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected a file to read, found {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {_NO_SOURCE}") from error


def read_interface(source: str, name: str) -> Interface:
    """Return the interface of a source.

    Args:
        source: Text of the source.
        name: Name of its file, for the message.

    Raises:
        InputError: It is not one that memnas wrote.
    """
    line = source.partition("\n")[0]
    try:
        if not line.startswith(_FACTS) or _END not in source:
            raise ValueError
        facts = json.loads(line.removeprefix(_FACTS).removesuffix(" */"))
        return Interface(
            _identifier(facts["prefix"]),
            Shape(*map(int, facts["image"])),
            tuple(map(str, facts["classes"])),
            int(facts["arena_bytes"]),
            Quantisation(float(facts["scores"][0]), int(facts["scores"][1])),
            tuple(map(float, facts["mean"])),
            tuple(map(float, facts["std"])),
            tuple(map(str, facts["notes"])),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{name}: {_NO_SOURCE}") from error


def prefix_of(name: str) -> str:
    """Return a prefix for names of C, made from the name of a search."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"net_{plain}" if not plain or plain[0].isdigit() else plain


def with_test(source: str, interface: Interface, pixels: np.ndarray, scores: np.ndarray) -> str:
    """Return a source with test images behind it, which are compiled only if `PREFIX_TEST` is defined.

    Args:
        source: The source.
        interface: Its interface.
        pixels: uint8, shape (3, height, width, channels).
        scores: int8, shape (3, classes).
    """
    macro, prefix = interface.macro, interface.prefix
    arrays = "\n".join(
        f"const {kind} {prefix}_test_{what}[{macro}_TEST_IMAGES][{values[0].size}] = {{\n{_rows(values)}}};"
        for what, kind, values in (("pixels", "uint8_t", pixels), ("scores", "int8_t", scores))
    )
    return f"""{source}
#ifdef {macro}_TEST
{arrays}

int {prefix}_test(void)
{{
    int wrong = 0;
    for (int image = 0; image < {macro}_TEST_IMAGES; image++) {{
        int8_t scores[{macro}_CLASSES];
        int differs = 0;
        {prefix}_run({prefix}_test_pixels[image], scores);
        for (int i = 0; i < {macro}_CLASSES; i++) {{
            differs |= scores[i] != {prefix}_test_scores[image][i];
        }}
        wrong += differs;
    }}
    return wrong;
}}
#endif
"""


def _figures(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:.9g}' for value in values)})"


def _rows(values: np.ndarray) -> str:
    rows = values.reshape(len(values), -1)
    return "".join(f"    {{{', '.join(map(str, row))}}},\n" for row in rows)


def _identifier(prefix: object) -> str:
    if not isinstance(prefix, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", prefix):
        raise ValueError
    return prefix


def _in_comment(text: str) -> str:
    """Return text that neither ends a comment nor leaves ASCII."""
    return text.replace("*/", "* /").replace("/*", "/ *").encode("ascii", "backslashreplace").decode()
