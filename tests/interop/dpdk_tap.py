#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Linux's TCP against ours by DPDK's driver for TAP devices, which is slow: 0.1 M frames a second."""
from rig import run

run("dpdk net_tap", load=0.5)
