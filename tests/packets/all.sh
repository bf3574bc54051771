#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every packet script, one case each.
# timeout: 300
exec "${BUILD:-build}/packets/run" tests/packets
