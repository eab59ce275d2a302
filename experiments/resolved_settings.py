"""Stage `settings`: all that the settings file of `experiments.yaml` comes to, with what it extends.

DVC reads sections of one file and knows nothing of `extends`. Stages therefore depend on sections of
`results/settings.yaml`, so that a default that the settings file replaces makes no result stale; nor does a setting
that came later and says what was done before.
"""

from experiments.plan import RESULTS, load_plan
from experiments.stage import run_stage
from memnas_core.files.writing import write_text
from memnas_core.settings.file import settings_yaml

RESOLVED = RESULTS / "settings.yaml"


def main() -> None:
    """Write the settings."""
    write_text(RESOLVED, settings_yaml(load_plan().load_settings().as_earlier_dict()))


if __name__ == "__main__":
    run_stage(main)
