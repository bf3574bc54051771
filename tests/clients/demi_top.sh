#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/demi-top against our server: its counters move, a server that is not there is said so.
set -u
folder=$(mktemp -d) || exit 1
server=${DEMIKV_SERVER:-build/demikv-server}
"$server" --port 0 --unixsocket "$folder/s" --dir "$folder" --save "" >"$folder/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 200); do [ -S "$folder/s" ] && break; sleep 0.05; done
echo 1..3
out=$(timeout 20 tools/demi-top -s "$folder/s" -n 2 -d 0.2)
if [ $? -eq 0 ] && grep -q "libOS posix, working" <<<"$out"; then echo "ok 1 - two screens tell the libOS and its work"; else echo "not ok 1 - two screens tell the libOS and its work"; fi
if grep -q "rx_calls .*/s" <<<"$out" && ! grep -q "push_busy" <<<"$out"; then echo "ok 2 - counters have rates, zeros are left out"; else echo "not ok 2 - counters have rates, zeros are left out"; fi
if ! timeout 20 tools/demi-top -s "$folder/none" -n 1 2>"$folder/err" && grep -q "^demi-top: " "$folder/err"; then
    echo "ok 3 - a server that is not there is one line and exit status 1"
else
    echo "not ok 3 - a server that is not there is one line and exit status 1"
fi
