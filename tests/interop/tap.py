#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Linux's TCP against ours behind a TAP device."""
from rig import run

run("tap")
