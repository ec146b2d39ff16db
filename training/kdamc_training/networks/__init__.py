# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, one file each, and the registry that names them. Importing it imports torch."""

from . import crosstlnet as crosstlnet
from . import ibcnn as ibcnn
from . import inceptionnet as inceptionnet
from . import mld_student as mld_student
from . import mld_teacher as mld_teacher
from . import plain_conv as plain_conv
from . import resnet_edge as resnet_edge
from . import sbcnn as sbcnn
from . import vtcnn2 as vtcnn2
