#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The conformance tests of the API (tests/demi/) over messages instead of the kernel's sockets: the libOS "rdma-loop", whose device is memory.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tests='sockets stream local wait cancel event_fd'
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $tests; do
    count=$((count + 1))
    if DEMI_TEST_LIBOS=rdma-loop timeout 120 "$build/tests/tests/demi/${name}_test" >"$log" 2>&1; then
        echo "ok $count - tests/demi/${name}_test over messages"
    else
        failed=1
        echo "not ok $count - tests/demi/${name}_test over messages"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$count"
exit $failed
