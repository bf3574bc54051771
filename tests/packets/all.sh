#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every packet script, one case each; each again with sequence numbers that wrap around, and with a device's offloads.
# timeout: 300
exec "${BUILD:-build}/packets/run" -w -o tests/packets
