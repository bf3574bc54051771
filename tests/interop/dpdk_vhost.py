#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# timeout: 120
"""Two programs of ours joined by DPDK's vhost and virtio-user, which offer checksums and segmentation."""
from rig import checks_pair, run

run("dpdk vhost", checks=(checks_pair,))
