#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Linux's TCP against ours over a veth pair, by DPDK's driver for AF_PACKET."""
from rig import run

run("dpdk net_af_packet")
