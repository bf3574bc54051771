// SPDX-License-Identifier: MIT
// node-resque: queues as lists and sorted sets, a leader by a lock, scripts.
'use strict';
const { Queue, Worker, Scheduler, Plugins } = require('node-resque');
const Redis = require('ioredis');
const { port, ok, same, until, run } = require('./tap');

run(async () => {
    const redis = new Redis(port);
    const connection = { redis, namespace: 'resque' };
    const done = [];
    const jobs = {
        add: { perform: async (a, b) => { done.push(a + b); return a + b; } },
        once: { plugins: [Plugins.QueueLock], perform: async (n) => { done.push('once' + n); } },
        bad: { perform: async () => { throw new Error('no'); } },
    };
    const queue = new Queue({ connection }, jobs);
    await queue.connect();
    for (let i = 0; i < 20; i++) await queue.enqueue('math', 'add', [i, 1]);
    same(await queue.length('math'), 20, 'jobs wait');
    await queue.enqueue('math', 'once', [1]);
    await queue.enqueue('math', 'once', [1]);
    same(await queue.length('math'), 21, 'a locked job is queued once');
    await queue.enqueueIn(150, 'math', 'add', [100, 1]);
    same((await queue.timestamps()).length, 1, 'a delayed job waits');
    await queue.enqueue('math', 'bad', []);
    const scheduler = new Scheduler({ connection, timeout: 50 });
    await scheduler.connect();
    await scheduler.start();
    const worker = new Worker({ connection, queues: ['math'], timeout: 20 }, jobs);
    let failures = 0;
    worker.on('failure', () => failures++);
    worker.on('error', () => {});
    await worker.connect();
    await worker.start();
    ok(await until(() => done.includes(101)), 'the scheduler brings a delayed job in its time');
    ok(await until(() => done.length === 22), 'all jobs run', done.length);
    ok(await until(() => failures === 1), 'one fails');
    ok(await until(async () => (await queue.failedCount()) === 1), 'and is kept');
    const failed = await queue.failed(0, -1);
    same(failed[0].error, 'no', 'with its reason');
    same(Object.keys(await queue.stats()).sort(), ['failed', `failed:${worker.name}`, 'processed', `processed:${worker.name}`].sort(), 'statistics are kept');
    await worker.end();
    await scheduler.end();
    same(Object.keys(await queue.workers()).length, 0, 'a worker that ends is gone');
});
