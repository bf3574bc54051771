#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# alone
# timeout: 300
"""Unmodified programs at both ends of DPDK's memif: shared memory, and no kernel anywhere."""
import sys

from wire import ONE_PROCESS, run_pair

FEW = ("redis-server, redis-cli, redis-benchmark",)

run_pair("dpdk net_memif", [row for row in ONE_PROCESS if row != "haproxy"] if "--all" in sys.argv else FEW)
