"""An objective without a budget."""

from memnas_core.settings.schema import ObjectiveSettings

OBJECTIVE = ObjectiveSettings(
    accuracy_weight=0.5,
    activation_convention="minimum",
    weight_bytes=4,
    activation_bytes=4,
    device=None,
    max_param_bytes=None,
    max_activation_bytes=None,
    max_total_bytes=None,
    accuracy_floor=None,
    accuracy="plain",
)
