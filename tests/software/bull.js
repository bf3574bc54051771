// SPDX-License-Identifier: MIT
// Bull, BullMQ's predecessor: other scripts, BRPOPLPUSH.
'use strict';
const Queue = require('bull');
const { connection, ok, same, until, run } = require('./tap');

run(async () => {
    const queue = new Queue('bull', { redis: connection });
    const seen = new Map();
    let failures = 0;
    queue.process('count', 4, async (job) => { seen.set(job.data.i, (seen.get(job.data.i) || 0) + 1); return job.data.i; });
    queue.process('hard', async (job) => {
        if (job.attemptsMade < 2) { failures++; throw new Error('not yet'); }
        return 'at last';
    });
    await queue.addBulk(Array.from({ length: 100 }, (_, i) => ({ name: 'count', data: { i } })));
    ok(await until(() => seen.size === 100), 'every job runs');
    ok([...seen.values()].every((n) => n === 1), 'once');
    const hard = await queue.add('hard', {}, { attempts: 3, backoff: 20 });
    same(await hard.finished(), 'at last', 'a job that fails is tried again');
    same(failures, 2, 'as often as it takes');
    const order = [];
    queue.process('delayed', async (job) => { order.push(job.data.n); });
    await queue.add('delayed', { n: 2 }, { delay: 250 });
    await queue.add('delayed', { n: 1 }, { delay: 30 });
    ok(await until(() => order.length === 2), 'delayed jobs run');
    same(order, [1, 2], 'in the order of their times');
    await until(async () => (await queue.getCompletedCount()) === 103);
    same(await queue.getCompletedCount(), 103, 'all are completed');
    await queue.clean(0, 'completed');
    same(await queue.getCompletedCount(), 0, 'and cleaned away');
    const stop = new Queue('bull-stop', { redis: connection });
    await stop.pause();
    await stop.add({ x: 1 });
    same((await stop.getJobCounts()).paused, 1, 'a paused queue keeps its job');
    await stop.empty();
    same(await stop.count(), 0, 'and is emptied');
});
