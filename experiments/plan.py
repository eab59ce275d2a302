"""The sizes of the experiments, read from `experiments.yaml` and checked."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from memnas_core.errors import SettingsError
from memnas_core.files.untrusted import first_finding
from memnas_core.files.yaml_text import read_yaml
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings

PLAN_FILE = Path("experiments.yaml")
RESULTS = Path("results")

_STRICT = ConfigDict(extra="forbid")

Lambda = Annotated[float, Field(ge=0, le=1)]


@checked(frozen=True, slots=True, config=_STRICT)
class CandidatePlan:
    """The table of trained candidates on which controllers are compared.

    Attributes:
        seed: Decides which candidates are drawn, and, together with their ids, the seeds of the trainings.
        lineages: Number of random lineages of grow and trim.
        rounds: Rounds of each lineage.
        children: Candidates drawn from each round of a lineage.
        trainings: Independent trainings of each candidate.
    """

    seed: NonNegativeInt
    lineages: PositiveInt
    rounds: PositiveInt
    children: PositiveInt
    trainings: PositiveInt


@checked(frozen=True, slots=True, config=_STRICT)
class SweepPlan:
    """The searches behind Figures 4 and 5.

    Attributes:
        lambdas: The paper's lambda of each search.
        seeds: Seeds of the searches of each lambda.
    """

    lambdas: tuple[Lambda, ...]
    seeds: tuple[NonNegativeInt, ...]


@checked(frozen=True, slots=True, config=_STRICT)
class AblationPlan:
    """The searches that are compared with the sweep's searches of the same lambda and seed.

    Attributes:
        lambdas: The paper's lambda of each search; a subset of the sweep's.
        seeds: Seeds of the searches of each arm and lambda; a subset of the sweep's.
    """

    lambdas: tuple[Lambda, ...]
    seeds: tuple[NonNegativeInt, ...]


@checked(frozen=True, slots=True, config=_STRICT)
class NetworksPlan:
    """The trainings of Table 1: every network sees equally many images.

    Attributes:
        epochs: Passes over the training images of the settings file.
        seeds: Seeds of each network's trainings.
    """

    epochs: PositiveInt
    seeds: tuple[NonNegativeInt, ...]


@checked(frozen=True, slots=True, config=_STRICT)
class LatencyPlan:
    """The latencies of Table 2.

    Attributes:
        rounds: Number of rounds; every network has one turn in each.
        passes: Timed forward passes of a network in a turn.
    """

    rounds: PositiveInt
    passes: PositiveInt


@checked(frozen=True, slots=True, config=_STRICT)
class Plan:
    """Everything that `experiments.yaml` says.

    Attributes:
        settings: Settings file of the searches and trainings.
        candidates: The candidates of Table 3.
        sweep: The searches of Figures 4 and 5.
        ablations: The searches without trimming, and those without a controller.
        networks: The trainings of Table 1.
        latency: The latencies of Table 2.
    """

    settings: str
    candidates: CandidatePlan
    sweep: SweepPlan
    ablations: AblationPlan
    networks: NetworksPlan
    latency: LatencyPlan

    def load_settings(self, *overrides: str) -> Settings:
        """Return the settings of the searches and trainings, with some of them replaced.

        Raises:
            SettingsError: As for `memnas_core.settings.file.load_settings`.
        """
        return load_settings(Path(self.settings), overrides)


def load_plan(path: Path = PLAN_FILE) -> Plan:
    """Read and check the sizes of the experiments.

    Raises:
        SettingsError: One line that names the file, the key, what was expected and what was found.
    """
    try:
        return TypeAdapter(Plan).validate_python(read_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; run this from the root of the checkout") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: expected YAML: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {first_finding(error)}, found {error.errors()[0]['input']!r}") from None
