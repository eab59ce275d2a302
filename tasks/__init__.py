"""Prefect tasks around the core: train, record, track, version."""

import os

from tasks.environment import set_environment

set_environment(os.environ)
