#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 120
#
# The model of libos/shm's ring and sleep protocol (shm_ring.pml) under spin: all states are visited and no fault is
# there; and spin finds the faults that the barrier, the zero behind each record and the bound of clearing are against.
cd "$(dirname "$0")" || exit 1
command -v spin >/dev/null || { echo "1..0 # SKIP spin is not installed (package spin)"; exit 0; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cp shm_ring.pml "$folder" && cd "$folder" || exit 1
run() { # defines...: spin's own report
    spin -a "$@" shm_ring.pml >log 2>&1 && gcc -O1 -DSAFETY -DMEMLIM=512 -o pan pan.c >>log 2>&1 && ./pan -m100000 >>log 2>&1
    cat log
}
count=0
check() { # claim, wanted errors (0 or more), defines...
    local claim=$1 faults=$2
    shift 2
    count=$((count + 1))
    report=$(run "$@")
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' <<<"$report")
    if { [ "$faults" = none ] && [ "$errors" = 0 ] && ! grep -q "search not completed\|max search depth too small" <<<"$report"; } ||
        { [ "$faults" = some ] && [ "${errors:-0}" -gt 0 ]; }; then
        echo "ok $count - $claim ($(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' <<<"$report") states)"
    else
        echo "not ok $count - $claim"
        sed 's/^/# /' <<<"$report" | tail -40
    fi
}
check "every record arrives once, in order, and nobody sleeps for ever" none -DBARRIER
check "without the barrier spin finds who sleeps for ever" some
check "without the zero behind each record spin finds a stale one" some -DBARRIER -DNO_ZERO
check "where lines are cleared that were not read spin finds a lost record" some -DBARRIER -DCLEAR_ALL
echo "1..$count"
