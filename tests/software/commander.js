// SPDX-License-Identifier: MIT
// redis-commander's server, asked what its page asks: the tree of keys with their types and sizes, each key's content, INFO, its command line.
'use strict';
const { spawn } = require('child_process');
const net = require('net');
const { createClient } = require('redis');
const { port, ok, same, until, run } = require('./tap');

const id = 'R:127.0.0.1:' + port + ':0';
let web;

function freePort() {
    return new Promise((resolve) => {
        const s = net.createServer().listen(0, '127.0.0.1', () => {
            const { port: free } = s.address();
            s.close(() => resolve(free));
        });
    });
}

async function asked(path, body) {
    const options = body ? { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(body) } : {};
    const answer = await fetch('http://127.0.0.1:' + web + path, options);
    const text = await answer.text();
    try {
        return JSON.parse(text);
    } catch (error) {
        return { status: answer.status, text };
    }
}

const key = (name) => asked('/apiv2/key/' + encodeURIComponent(id) + '/' + encodeURIComponent(name));

async function fill() {
    const client = createClient({ url: 'redis://127.0.0.1:' + port });
    await client.connect();
    await client.flushAll();
    await client.set('string', 'value');
    await client.set('short', 'v', { EX: 1000 });
    await client.hSet('hash', { f: '1', g: '2' });
    await client.rPush('list', ['a', 'b', 'c']);
    await client.sAdd('set', ['one']);
    await client.zAdd('zset', [{ score: 1, value: 'one' }, { score: 2.5, value: 'two' }]);
    await client.xAdd('stream', '5-1', { field: 'value' });
    await client.xAdd('stream', '6-1', { field: 'other' });
    await client.geoAdd('geo', { longitude: 13.361389, latitude: 38.115556, member: 'Palermo' });
    await client.pfAdd('hll', ['a', 'b', 'c']);
    await client.set('folder:a', '1');
    await client.set('folder:b', '2');
    return client;
}

async function look(client) {
    same((await asked('/connections')).connections.map((c) => c.conId), [id], 'the connection');
    ok(/Redis Commander/.test((await asked('/')).text), 'the page');
    const info = (await asked('/apiv2/server/info')).data[0].info;
    ok(info.some((i) => i.key === 'Redis version' && /^\d+\.\d+\.\d+$/.test(i.value)) && info.length > 100, 'INFO');
    const tree = (await asked('/apiv2/keystree/' + encodeURIComponent(id) + '/')).data;
    same(tree.map((n) => [n.text, n.rel ?? null]).sort(), [['folder:* (2)', null], ['geo (1)', 'zset'], ['hash', 'hash'], ['hll', 'string'], ['list (3)', 'list'], ['set (1)', 'set'],
        ['short', 'string'], ['stream (2)', 'stream'], ['string', 'string'], ['zset (2)', 'zset']].sort(), 'the tree of keys');
    const inside = (await asked('/apiv2/keystree/' + encodeURIComponent(id) + '/folder:')).data;
    same(inside.map((n) => n.text).sort(), ['a', 'b'], 'a folder of it');
    same((await key('string')).value, 'value', 'a string');
    ok((await key('short')).ttl > 900, 'a time to live');
    same((await key('hash')).data, { f: '1', g: '2' }, 'a hash');
    same((await key('list')).items.map((i) => i.value), ['a', 'b', 'c'], 'a list');
    same((await key('set')).members, ['one'], 'a set');
    same((await key('zset')).items.map((i) => [i.value, i.score]).sort(), [['one', '1'], ['two', '2.5']], 'a sorted set');
    const stream = await key('stream');
    same([stream.type, stream.length, stream.items.map((i) => [i.timestamp, i.field, i.value]).sort()], ['stream', 2, [['5-1', 'field', 'value'], ['6-1', 'field', 'other']]], 'a stream');
    same((await key('geo')).items.map((i) => [i.value, i.score]), [['Palermo', '3479099956230698']], 'a geo key is a sorted set');
    const hll = await key('hll');
    same([hll.type, Buffer.from(hll.value, 'base64').subarray(0, 4).toString()], ['binary', 'HYLL'], 'a HyperLogLog is bytes');
    await asked('/apiv2/key/' + encodeURIComponent(id) + '/made', { stringValue: 'here', keyType: 'string' });
    ok(await until(async () => (await client.get('made')) === 'here'), 'a key that the page makes');
    const said = await asked('/apiv2/exec/' + encodeURIComponent(id), { cmd: 'LLEN list' });
    ok(JSON.stringify(said).includes('3'), 'its command line', JSON.stringify(said));
}

run(async () => {
    const client = await fill();
    web = await freePort();
    const words = [require.resolve('redis-commander/bin/redis-commander.js'), '--redis-host', '127.0.0.1', '--redis-port', String(port), '--port', String(web), '--address',
        '127.0.0.1', '--nosave', '--noload'];
    const server = spawn(process.execPath, words, { stdio: 'ignore' });
    process.on('exit', () => server.kill('SIGKILL'));
    ok(await until(async () => (await asked('/connections').catch(() => ({}))).ok), 'redis-commander starts and connects');
    await look(client);
    server.kill('SIGKILL');
});
