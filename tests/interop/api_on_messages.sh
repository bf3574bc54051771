#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The conformance tests of the API (tests/demi/) over messages instead of the kernel's sockets: the libOS "rdma-loop", whose device is memory; and
# "rdma" with its plug-in over the double of libibverbs (tests/rdma), which is library and plug-in together.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tests='sockets stream local wait cancel event_fd absence'
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

run() { # what, libOS, test
    count=$((count + 1))
    if DEMI_TEST_LIBOS=$2 timeout 120 "$build/tests/tests/demi/${3}_test" >"$log" 2>&1; then
        echo "ok $count - tests/demi/${3}_test over $1"
    else
        failed=1
        echo "not ok $count - tests/demi/${3}_test over $1"
        sed 's/^/# /' "$log"
    fi
}

for name in $tests; do
    run messages rdma-loop "$name"
done
if [ -e "$build/double/libdemikernel-rdma.so" ]; then
    export DEMI_PLUGIN_PATH="$build/double"
    export DEVICE=double_rxe0 ADDRESS=10.77.0.1
    for name in $tests; do
        run "the plug-in" rdma "$name"
    done
else
    count=$((count + 1))
    echo "ok $count - the plug-in # SKIP built without RDMA (Debian packages libibverbs-dev, librdmacm-dev)"
fi
echo "1..$count"
exit $failed
