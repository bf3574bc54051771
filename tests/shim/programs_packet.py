#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# alone
# timeout: 300
"""Unmodified programs on our own TCP over a veth pair, Linux at the other end; with --all every row."""
import sys

from wire import ONE_PROCESS, run_wire

FEW = ("redis-server, redis-cli, redis-benchmark", "memcached with threads", "python that sleeps", "UDP by python")

run_wire("packet", *([ONE_PROCESS, [row for row in ONE_PROCESS if row != "haproxy"]] if "--all" in sys.argv else [FEW, FEW]))
