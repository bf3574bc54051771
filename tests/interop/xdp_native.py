#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Linux's TCP against ours over a veth pair, by AF_XDP in the driver."""
from rig import run

run("xdp native")
