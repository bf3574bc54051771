#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""The same as shared.py by AF_XDP: its program takes frames of our port out of the kernel's hands, and nothing else."""
from rig import run
from shared import checks

run("xdp, shared", checks=(checks,))
