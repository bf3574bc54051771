#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Two programs of ours joined by DPDK's memif: shared memory, and no kernel anywhere."""
from rig import checks_pair, run

run("dpdk net_memif", checks=(checks_pair,))
