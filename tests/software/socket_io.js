// SPDX-License-Identifier: MIT
// socket.io on two nodes that know each other by the server alone: by channels, sharded channels or streams, as the
// first argument says.
'use strict';
const { createServer } = require('http');
const { Server } = require('socket.io');
const { io } = require('socket.io-client');
const { createClient } = require('redis');
const Redis = require('ioredis');
const { createAdapter: classic, createShardedAdapter: sharded } = require('@socket.io/redis-adapter');
const { createAdapter: streams } = require('@socket.io/redis-streams-adapter');
const { port, ok, same, until, run } = require('./tap');

async function adapterOf(kind) {
    if (kind === 'sharded channels, node-redis') {
        const pub = createClient({ url: 'redis://127.0.0.1:' + port }), sub = pub.duplicate();
        await pub.connect();
        await sub.connect();
        return sharded(pub, sub);
    }
    if (kind === 'streams, node-redis') {
        const client = createClient({ url: 'redis://127.0.0.1:' + port });
        await client.connect();
        return streams(client);
    }
    if (kind === 'streams, ioredis') return streams(new Redis(port));
    const pub = new Redis(port), sub = pub.duplicate();
    return kind === 'sharded channels, ioredis' ? sharded(pub, sub) : classic(pub, sub);
}

async function node(kind) {
    const http = createServer();
    const server = new Server(http, { adapter: await adapterOf(kind) });
    await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
    return { server, http, port: http.address().port };
}

async function twoNodes(kind) {
    const nodes = [await node(kind), await node(kind)];
    nodes.forEach((n) => n.server.on('connection', (socket) => socket.on('join', (room, done) => { socket.join(room); done(); })));
    const clients = nodes.map((n) => io('http://127.0.0.1:' + n.port, { transports: ['websocket'], forceNew: true }));
    const got = [[], []];
    clients.forEach((c, i) => c.on('news', (text) => got[i].push(text)));
    await Promise.all(clients.map((c) => new Promise((resolve) => c.on('connect', resolve))));
    await until(async () => (await nodes[0].server.fetchSockets().catch(() => [])).length === 2);
    same((await nodes[0].server.fetchSockets()).length, 2, kind + ': a node sees the sockets of both');
    nodes[0].server.emit('news', 'to all');
    ok(await until(() => got[0].length === 1 && got[1].length === 1), kind + ': what one node says everybody hears', JSON.stringify(got));
    await new Promise((resolve) => clients[1].emit('join', 'room', resolve));
    nodes[0].server.to('room').emit('news', 'to the room');
    ok(await until(() => got[1].length === 2), kind + ': a room is reached from the other node', JSON.stringify(got));
    same(got[0].length, 1, kind + ': and nobody else');
    const binary = Buffer.from([0, 1, 13, 10, 255]);
    nodes[1].server.emit('news', binary);
    ok(await until(() => got[0].length === 2) && Buffer.compare(Buffer.from(got[0][1]), binary) === 0, kind + ': bytes come as they were');
    clients.forEach((c) => c.close());
    nodes.forEach((n) => { n.server.disconnectSockets(true); n.http.close(); });
}

run(() => twoNodes(process.argv[2]));
