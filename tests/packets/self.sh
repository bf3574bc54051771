#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The runner of packet scripts can fail: each script here says something that is not so, and must be refused for just that reason.
run=${BUILD:-build}/packets/run
dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
number=0

head='0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 65535 <mss 1000>
'
open="$head"'+0 > S. 0:0(0) ack 1 <mss 1460>
+0.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
'

# refused CLAIM WORDS SCRIPT: WORDS stand in what the runner says.
refused()
{
    number=$((number + 1))
    printf '%s\n' "$3" >"$dir/a.pkt"
    if said=$("$run" "$dir/a.pkt" 2>&1); then
        echo "not ok $number - $1"
        echo "# it passed"
    elif printf '%s' "$said" | grep -qF -e "$2"; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "$said" | sed 's/^/#   /'
    fi
}

echo 1..22
refused 'other flags' 'other flags' "$head"'+0 > S 0:0(0) ack 1 <mss 1460>'
refused 'another acknowledgement' 'another ack' "$head"'+0 > S. 0:0(0) ack 2 <mss 1460>'
refused 'another option' 'other options' "$head"'+0 > S. 0:0(0) ack 1 <mss 1459>'
refused 'an option too few' 'other options' "$head"'+0 > S. 0:0(0) ack 1 <mss 1460,nop>'
refused 'an option too many' 'other options' "$head"'+0 > S. 0:0(0) ack 1'
refused 'another window' 'another window' "$head"'+0 > S. 0:0(0) ack 1 win 1 <mss 1460>'
refused 'too late' 'another time' "$head"'+0.5 > S. 0:0(0) ack 1 <mss 1460>'
refused 'outside of a range of time' 'another time' "$head"'+0.1~+0.2 > S. 0:0(0) ack 1 <mss 1460>'
refused 'a packet that does not come' 'no packet came' "$open"'+0 > . 1:1(0) ack 1'
refused 'a packet that nobody expects' 'no line expects' "$open"'+0 write(4, ..., 10) = 10'
refused 'another sequence number' 'another sequence number' "$open"'+0 write(4, ..., 10) = 10
+0 > P. 2:12(10) ack 1'
refused 'another length' 'another length' "$open"'+0 write(4, ..., 10) = 10
+0 > P. 1:12(11) ack 1'
refused 'another flow' 'another flow' "$open"'+0 write(4, ..., 10) = 10
+0 >@2 P. 1:11(10) ack 1'
refused 'another DF bit' 'another DF bit' "$head"'+0 > [nodf] S. 0:0(0) ack 1 <mss 1460>'
refused 'another result' 'read() gave -1 EAGAIN' "$open"'+0 read(4, ..., 10) = 10'
refused 'another error' 'read() gave -1 EAGAIN' "$open"'+0 read(4, ..., 10) = -1 ECONNRESET'
refused 'a call that blocks too long' 'read() did not return' "$open"'+0...0.1 read(4, ..., 10) = 10'
refused 'an option of a socket' 'the option is' "$open"'+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [5], [4]) = 0'
refused 'an assertion' 'assert tcpi_state == 4' "$open"'%{ assert tcpi_state == 4 }%'
refused 'a name nobody knows' 'a name is unknown' "$open"'%{ assert tcpi_stat == 1 }%'
refused 'a script that does not add up' 'does not add up' '0 < S 0:1(0) win 1'
refused 'an option of the runner that there is not' 'is not known' '--no_such=1
0 < R 0:0(0) win 1'
