// SPDX-License-Identifier: MIT
// node-redis' client-side cache: what it keeps it is told of, by this client and by others, and it keeps nothing else.
'use strict';
const { createClient, createClientPool, BasicClientSideCache, BasicPooledClientSideCache } = require('redis');
const { port, ok, same, until, run } = require('./tap');

const url = 'redis://127.0.0.1:' + port;

async function connected(options) {
    const client = createClient({ url, RESP: 3, ...options });
    client.on('error', () => {});
    await client.connect();
    return client;
}

async function one(other) {
    const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU' });
    const client = await connected({ clientSideCache: cache });
    await other.set('k', 'one');
    same(await client.get('k'), 'one', 'a value is read');
    same(await client.get('k'), 'one', 'and again');
    same([cache.stats().missCount, cache.stats().hitCount], [1, 1], 'the second time from the cache');
    await other.set('k', 'two');
    ok(await until(async () => (await client.get('k')) === 'two'), 'what another changed is read anew');
    await client.set('k', 'three');
    ok(await until(async () => (await client.get('k')) === 'three'), 'and what it changed itself');
    same(await client.get('missing'), null, 'a key that is not there');
    await other.set('missing', 'here');
    ok(await until(async () => (await client.get('missing')) === 'here'), 'is read anew when it comes');
    await other.hSet('h', { a: '1', b: '2' });
    same({ ...(await client.hGetAll('h')) }, { a: '1', b: '2' }, 'a hash');
    await other.hDel('h', 'a');
    ok(await until(async () => !('a' in (await client.hGetAll('h')))), 'without the field that another took');
    await other.set('short', 'v', { PX: 30 });
    await client.get('short');
    ok(await until(async () => (await client.get('short')) === null), 'a key that expires');
    await client.multi().set('k', 'four').get('k').exec();
    ok(await until(async () => (await client.get('k')) === 'four'), 'a transaction');
    await client.eval("return redis.call('set', KEYS[1], 'five')", { keys: ['k'] });
    ok(await until(async () => (await client.get('k')) === 'five'), 'a script');
    await client.get('k');
    ok(cache.size() > 0, 'the cache holds something');
    await other.flushAll();
    ok(await until(async () => (await client.get('k')) === null), 'nothing of it is true after FLUSHALL');
    await client.close();
}

// Many keys, read and changed at once: at the end each is as it was written last.
async function many(other) {
    const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 200, evictPolicy: 'LRU' });
    const client = await connected({ clientSideCache: cache });
    const names = Array.from({ length: 100 }, (_, i) => 'key:' + i);
    for (let round = 0; round < 20; round++) {
        await Promise.all(names.flatMap((name, i) => [client.get(name), (i + round) % 3 ? null : other.set(name, String(round)), client.get(name)]));
    }
    await other.mSet(names.flatMap((name) => [name, 'last']));
    const right = async () => (await Promise.all(names.map((name) => client.get(name)))).every((v) => v === 'last');
    ok(await until(right), 'many keys, read and written at once: the last is what is read');
    ok(cache.stats().hitCount > 0, 'some of them came from the cache');
    await client.close();
}

async function pool(other) {
    const cache = new BasicPooledClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU' });
    const clients = createClientPool({ url, RESP: 3 }, { clientSideCache: cache, minimum: 3, maximum: 5 });
    clients.on('error', () => {});
    await clients.connect();
    await other.set('p', 'one');
    await Promise.all(Array.from({ length: 20 }, () => clients.get('p')));
    await other.set('p', 'two');
    ok(await until(async () => (await clients.get('p')) === 'two'), 'a pool of clients with one cache');
    await clients.close();
}

run(async () => {
    const other = await connected({});
    await one(other);
    await many(other);
    await pool(other);
    await other.close();
});
