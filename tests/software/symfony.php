<?php
// SPDX-License-Identifier: MIT
// Symfony's cache with tags: items that go with their tag by a script, and eviction that must not be silent.
require __DIR__ . '/tap.php';
require '/usr/share/php/Symfony/Component/Cache/autoload.php';

use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\Cache\Adapter\RedisTagAwareAdapter;

$redis = RedisAdapter::createConnection("redis://127.0.0.1:$port");
$redis->config('SET', 'maxmemory-policy', 'noeviction');
$cache = new RedisTagAwareAdapter($redis, 'app', 100);
foreach (['a' => ['red'], 'b' => ['red', 'blue'], 'c' => ['blue'], 'd' => []] as $key => $tags) {
    $cache->get($key, function ($item) use ($key, $tags) {
        $item->tag($tags);
        return "value of $key";
    });
}
$has = function () use ($cache) {
    return array_keys(array_filter(['a' => $cache->hasItem('a'), 'b' => $cache->hasItem('b'), 'c' => $cache->hasItem('c'), 'd' => $cache->hasItem('d')]));
};
same($has(), ['a', 'b', 'c', 'd'], 'symfony: items are cached');
same($cache->getItem('b')->get(), 'value of b', 'symfony: as they were');
same($cache->invalidateTags(['red']), true, 'symfony: a tag is made invalid');
same($has(), ['c', 'd'], 'symfony: and its items are gone, the others not');
same($cache->get('a', fn () => 'new'), 'new', 'symfony: a stale item is not served');
same($cache->deleteItem('c'), true, 'symfony: an item is deleted');
same($cache->invalidateTags(['blue', 'none']), true, 'symfony: tags without items are no fault');
same($has(), ['a', 'd'], 'symfony: what has another tag stays');
for ($i = 0; $i < 500; $i++) {
    $item = $cache->getItem("many$i");
    $item->set($i)->tag(['many']);
    $cache->saveDeferred($item);
}
same($cache->commit(), true, 'symfony: many are saved together');
same($cache->invalidateTags(['many']), true, 'symfony: and go together');
same($cache->hasItem('many499') || $cache->hasItem('many0'), false, 'symfony: all of them');
same($cache->clear(), true, 'symfony: and all is cleared');
done();
