# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses, one file each, and the registry that names them. Importing it imports torch."""

from . import attention as attention
from . import cross_entropy as cross_entropy
from . import dist as dist
from . import dkd as dkd
from . import feature as feature
from . import outlier_exposure as outlier_exposure
from . import posterior as posterior
from . import response as response
from . import similarity as similarity
from . import skd as skd
from . import snr as snr
from . import stranger as stranger
