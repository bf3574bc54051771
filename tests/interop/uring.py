#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Kernel sockets by io_uring: Linux at both ends, and our programs at both."""
from rig import checks_examples, checks_pair, checks_server, run

run("uring", checks=(checks_server, checks_examples, checks_pair))
