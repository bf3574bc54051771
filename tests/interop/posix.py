#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Linux at both ends: proves the checks, which the other scripts of this folder ask of our own stack."""
from rig import checks_examples, checks_pair, checks_server, run

run("posix", checks=(checks_server, checks_examples, checks_pair))
