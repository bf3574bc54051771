#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every packet script, one case each; each a second time with sequence numbers that wrap around.
# timeout: 300
exec "${BUILD:-build}/packets/run" -w tests/packets
