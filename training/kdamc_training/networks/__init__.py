# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, one file each, and the registry that names them. Importing it imports torch."""

from . import cldnn as cldnn
from . import clst as clst
from . import cnn_lstm as cnn_lstm
from . import cnniq as cnniq
from . import crosstlnet as crosstlnet
from . import ibcnn as ibcnn
from . import inceptionnet as inceptionnet
from . import kd_cnn as kd_cnn
from . import kd_mobilenet as kd_mobilenet
from . import live_conv as live_conv
from . import lstm2 as lstm2
from . import mcldnn as mcldnn
from . import mld_student as mld_student
from . import mld_teacher as mld_teacher
from . import mobilenet as mobilenet
from . import pet_cgdnn as pet_cgdnn
from . import plain_conv as plain_conv
from . import resnet_edge as resnet_edge
from . import resnet_lstm as resnet_lstm
from . import sbcnn as sbcnn
from . import shufflenet as shufflenet
from . import symbol_moments as symbol_moments
from . import ulcnn as ulcnn
from . import vtcnn2 as vtcnn2
