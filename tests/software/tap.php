<?php
// SPDX-License-Identifier: MIT
// What the programs here share: TAP lines and the server's address.
$port = (int) getenv('REDIS_PORT');
$count = $failed = 0;

function ok($passed, $claim, ...$notes)
{
    global $count, $failed;
    $count++;
    $failed += $passed ? 0 : 1;
    echo ($passed ? '' : 'not ') . "ok $count - $claim\n";
    foreach ($passed ? [] : $notes as $note) {
        echo '#   ' . json_encode($note) . "\n";
    }
}

function same($got, $wanted, $claim)
{
    ok($got === $wanted, $claim, $got, $wanted);
}

function done()
{
    global $count, $failed;
    echo "1..$count\n";
    exit($failed ? 1 : 0);
}
