<?php
// SPDX-License-Identifier: MIT
// PHP's sessions in the server, with the lock that is released by a script: eight processes count in one session.
ob_start(); // a session may begin after something was said
require __DIR__ . '/tap.php';
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://127.0.0.1:$port?prefix=php:");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('redis.session.locking_enabled', '1');
ini_set('redis.session.lock_retries', '-1');
ini_set('redis.session.lock_wait_time', '1000');
ini_set('redis.session.lock_expire', '20');

if (($argv[1] ?? '') === 'count') {
    for ($i = 0; $i < 25; $i++) {
        session_id('shared');
        session_start();
        $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
        usleep(200);
        session_write_close();
    }
    exit(0);
}

$redis = new Redis();
$redis->connect('127.0.0.1', $port);
session_id('one');
session_start();
$_SESSION['user'] = 'anna';
same((int) $redis->exists('php:one_LOCK'), 1, 'php: an open session is locked');
session_write_close();
same((int) $redis->exists('php:one_LOCK'), 0, 'php: a closed one is not');
ok($redis->ttl('php:one') > 0, 'php: and ends in its time');
session_start();
same($_SESSION['user'], 'anna', 'php: what it kept is there');
session_destroy();
same((int) $redis->exists('php:one'), 0, 'php: until it is destroyed');
$children = [];
for ($i = 0; $i < 8; $i++) {
    $children[] = proc_open([PHP_BINARY, __FILE__, 'count'], [], $pipes);
}
$statuses = array_map('proc_close', $children);
same(array_sum($statuses), 0, 'php: eight processes share a session');
session_id('shared');
session_start();
same($_SESSION['n'], 200, 'php: and nothing that one writes another overwrites');
session_write_close();
done();
