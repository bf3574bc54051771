// SPDX-License-Identifier: MIT
// valkey-glide, whose core is a client of its own in Rust: types, streams, scripts, transactions, channels, a lost connection; RESP2 and RESP3.
'use strict';
const { GlideClient, GlideClientConfiguration, ProtocolVersion, Script, Batch, Logger, Decoder, InfBoundary, InfoOptions, ListDirection, ScoreFilter, GeoUnit } = require('@valkey/valkey-glide');
const { port, ok, same, until, run } = require('./tap');

async function connected(protocol, more) {
    return GlideClient.createClient({ addresses: [{ host: '127.0.0.1', port }], protocol, requestTimeout: 20000, clientName: 'glide', ...more });
}

// Maps come as lists of pairs under several names, or as objects.
function plain(pairs) {
    if (!Array.isArray(pairs)) return { ...pairs };
    return Object.fromEntries(pairs.map((p) => [p.field ?? p.element ?? p.key, p.value ?? p.score]));
}

async function strings(c) {
    same(await c.set('s', 'value'), 'OK', 'SET');
    same([await c.get('s'), await c.get('none')], ['value', null], 'GET');
    const bytes = Buffer.from([0, 255, 13, 10, 0]);
    await c.set('b', bytes);
    same(await c.get('b', { decoder: Decoder.Bytes }), bytes, 'any bytes');
    same(await c.mset({ a: '1', n: '10' }), 'OK', 'MSET');
    same(await c.mget(['a', 'none', 'n']), ['1', null, '10'], 'MGET');
    same([await c.incrBy('n', 5), await c.incrByFloat('n', 0.5)], [15, 15.5], 'numbers');
    same([await c.append('s', '!'), await c.setrange('s', 0, 'V'), await c.getdel('s')], [6, 6, 'Value!'], 'parts of a string');
    same([await c.expire('a', 100), (await c.ttl('a')) > 90, await c.ttl('none')], [true, true, -2], 'times to live');
    same([await c.setbit('bits', 7, 1), await c.bitcount('bits')], [0, 1], 'bits');
    await c.mset({ x: 'ohmytext', y: 'mynewtext' });
    same(await c.lcs('x', 'y'), 'mytext', 'LCS');
    const dump = await c.dump('y');
    same([await c.restore('z', 0, dump), await c.get('z')], ['OK', 'mynewtext'], 'DUMP and RESTORE');
    const large = 'x'.repeat(5000000);
    await c.set('large', large);
    ok((await c.get('large')) === large, 'five megabytes');
}

async function collections(c) {
    same([await c.hset('h', { f: '1', g: '2' }), await c.hincrBy('h', 'f', 2)], [2, 3], 'a hash');
    same(plain(await c.hgetall('h')), { f: '3', g: '2' }, 'HGETALL');
    same([await c.rpush('l', ['a', 'b', 'c']), await c.lrange('l', 0, -1)], [3, ['a', 'b', 'c']], 'a list');
    const taken = await c.lmpop(['none', 'l'], ListDirection.RIGHT, { count: 2 });
    same([taken.key, taken.elements], ['l', ['c', 'b']], 'LMPOP');
    same([await c.sadd('set', ['a', 'b']), [...(await c.smembers('set'))].sort(), await c.smove('set', 'set2', 'a')], [2, ['a', 'b'], true], 'a set');
    same(await c.zadd('z1', { one: 1, two: 2.5, inf: Infinity }), 3, 'a sorted set');
    same(plain(await c.zrangeWithScores('z1', { start: 0, end: -1 })), { one: 1, two: 2.5, inf: Infinity }, 'its scores');
    const popped = await c.zmpop(['z1'], ScoreFilter.MIN);
    same([popped[0], plain(popped[1])], ['z1', { one: 1 }], 'ZMPOP');
    same([await c.pfadd('hll', ['a', 'b', 'c']), await c.pfcount(['hll'])], [true, 3], 'a HyperLogLog');
    await c.geoadd('geo', new Map([['Palermo', { longitude: 13.361389, latitude: 38.115556 }], ['Catania', { longitude: 15.087269, latitude: 37.502669 }]]));
    ok(Math.abs((await c.geodist('geo', 'Palermo', 'Catania', { unit: GeoUnit.KILOMETERS })) - 166.2742) < 0.001, 'GEODIST');
    same((await c.geosearch('geo', { position: { longitude: 15, latitude: 37 } }, { radius: 200, unit: GeoUnit.KILOMETERS })).map(String).sort(), ['Catania', 'Palermo'], 'GEOSEARCH');
    same(await Promise.all(['h', 'l', 'set', 'z1', 'geo', 'hll'].map((k) => c.type(k))), ['hash', 'list', 'set', 'zset', 'zset', 'string'], 'TYPE');
    const seen = new Set();
    let cursor = '0';
    do {
        const [next, keys] = await c.scan(cursor, { count: 3 });
        keys.forEach((k) => seen.add(String(k)));
        cursor = String(next);
    } while (cursor !== '0');
    same(seen.size, await c.dbsize(), 'SCAN sees every key');
}

async function streams(c, other) {
    same([await c.xadd('st', [['f', 'v']], { id: '1-1' }), await c.xadd('st', [['f', 'w'], ['g', 'x']], { id: '2-1' })], ['1-1', '2-1'], 'XADD');
    same(Object.keys(await c.xrange('st', InfBoundary.NegativeInfinity, InfBoundary.PositiveInfinity)), ['1-1', '2-1'], 'XRANGE');
    same(await c.xgroupCreate('st', 'g', '0'), 'OK', 'XGROUP CREATE');
    const read = await c.xreadgroup('g', 'me', { st: '>' }, { count: 10 });
    same([read.length, String(read[0].key), Object.keys(read[0].value).length], [1, 'st', 2], 'XREADGROUP');
    same((await c.xpending('st', 'g'))[0], 2, 'XPENDING');
    same([await c.xack('st', 'g', ['1-1']), (await c.xpending('st', 'g'))[0]], [1, 1], 'XACK');
    const claimed = await c.xautoclaim('st', 'g', 'you', 0, '0-0');
    same(Object.keys(claimed[1]).length, 1, 'XAUTOCLAIM');
    const waits = c.xread({ st: '$' }, { block: 10000 });
    const [answer] = await Promise.all([waits, until(async () => /blocked_clients:1/.test(await other.info([InfoOptions.Clients]))).then(() => other.xadd('st', [['late', '1']], { id: '3-1' }))]);
    same(String(answer[0].key), 'st', 'a blocked XREAD');
    const pops = c.blpop(['queue'], 20);
    await until(async () => /blocked_clients:1/.test(await other.info([InfoOptions.Clients])));
    await other.rpush('queue', ['job']);
    same((await pops).map(String), ['queue', 'job'], 'a blocked BLPOP');
}

async function scripts(c) {
    const script = new Script('return {KEYS[1], ARGV[1], 7, {ok = "fine"}}');
    same(await c.invokeScript(script, { keys: ['k'], args: ['a'] }), ['k', 'a', 7, 'fine'], 'a script');
    same(await c.scriptExists([script.getHash()]), [true], 'is kept');
    await c.customCommand(['SCRIPT', 'FLUSH']);
    same((await c.invokeScript(script, { keys: ['k'], args: ['b'] }))[1], 'b', 'and is sent again when it is gone');
    script.release();
    same(await c.functionLoad("#!lua name=lib\nredis.register_function('twice', function(k, a) return a[1] * 2 end)", { replace: true }), 'lib', 'a library of functions');
    same([await c.fcall('twice', [], ['21']), (await c.functionList()).length], [42, 1], 'FCALL');
    await c.functionDelete('lib');
    const error = await c.customCommand(['LPUSH', 'h', 'x']).catch((e) => e);
    ok(/WRONGTYPE/.test(String(error)), 'an error is one', error);
}

async function transactions(c, other) {
    const batch = new Batch(true).set('t', '1').incrBy('t', 4).get('t').lpush('t', ['x']).hgetall('h');
    const got = await c.exec(batch, false);
    same([got[0], got[1], got[2], got[3] instanceof Error, plain(got[4])], ['OK', 5, '5', true, { f: '3', g: '2' }], 'a transaction, one command of which fails');
    await c.watch(['t']);
    await other.set('t', 'changed');
    same(await c.exec(new Batch(true).set('t', 'mine'), true), null, 'that is not done when what it watches has changed');
    const many = new Batch(false);
    for (let i = 0; i < 10000; i++) many.incrBy('count', 1);
    same((await c.exec(many, true)).at(-1), 10000, 'a pipeline of 10,000');
    const all = await Promise.all(Array.from({ length: 900 }, (_, i) => c.set('k' + i, String(i)).then(() => c.get('k' + i))));
    ok(all.every((v, i) => v === String(i)), '900 at once over one connection');
}

async function channels(protocol, other) {
    const modes = GlideClientConfiguration.PubSubChannelModes;
    const c = await connected(protocol, { pubsubSubscriptions: { channelsAndPatterns: { [modes.Exact]: new Set(['ch']), [modes.Pattern]: new Set(['p*']) } } });
    same(await until(async () => (await other.publish('one', 'ch')) === 1), true, 'who subscribes is counted');
    await other.publish('two', 'pat');
    const messages = [await c.getPubSubMessage(), await c.getPubSubMessage()];
    same(messages.map((m) => [m.message, m.channel, m.pattern ?? null].map((v) => v && String(v))), [['one', 'ch', null], ['two', 'pat', 'p*']], 'messages of a channel and of a pattern');
    await other.customCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    ok(await until(async () => (await other.publish('three', 'ch')) === 1), 'a lost subscriber subscribes again');
    same(String((await c.getPubSubMessage()).message), 'three', 'and hears what is published');
    c.close();
}

async function reconnects(c, other) {
    const id = await c.customCommand(['CLIENT', 'ID']);
    await other.customCommand(['CLIENT', 'KILL', 'ID', String(id)]);
    ok(await until(async () => (await c.ping().catch(() => '')) === 'PONG'), 'a lost connection comes back');
    ok((await c.customCommand(['CLIENT', 'ID'])) > id, 'as another one');
    same(await c.customCommand(['CLIENT', 'GETNAME']), 'glide', 'under its name');
}

run(async () => {
    Logger.setLoggerConfig('off'); // it tells of each error that is replied
    for (const protocol of [ProtocolVersion.RESP3, ProtocolVersion.RESP2]) {
        const c = await connected(protocol), other = await connected(protocol);
        await c.flushall();
        await strings(c);
        await collections(c);
        await streams(c, other);
        await scripts(c);
        await transactions(c, other);
        if (protocol === ProtocolVersion.RESP3) await channels(protocol, other);
        await reconnects(c, other);
        ok(/redis_version:/.test(await c.info()), 'INFO');
        c.close();
        other.close();
    }
});
