// SPDX-License-Identifier: MIT
// Bee-Queue: small scripts, BRPOPLPUSH, events by channels.
'use strict';
const Queue = require('bee-queue');
const { connection, ok, same, until, run } = require('./tap');

run(async () => {
    const queue = new Queue('bee', { redis: connection, activateDelayedJobs: true });
    const seen = new Map(), events = [];
    queue.process(4, async (job) => {
        seen.set(job.data.i, (seen.get(job.data.i) || 0) + 1);
        if (job.data.fails && seen.get(job.data.i) < 3) throw new Error('not yet');
        return job.data.i + 1;
    });
    const first = await queue.createJob({ i: 0 }).save();
    first.on('succeeded', (result) => events.push(result));
    for (let i = 1; i < 50; i++) await queue.createJob({ i }).save();
    ok(await until(() => seen.size === 50), 'every job runs');
    ok(await until(() => events.length === 1) && events[0] === 1, 'who made a job hears what became of it', events);
    await queue.createJob({ i: 100, fails: true }).retries(5).backoff('fixed', 20).save();
    ok(await until(() => seen.get(100) === 3), 'a job that fails is tried again');
    const when = Date.now() + 200;
    let ran = 0;
    await queue.createJob({ i: 200 }).delayUntil(when).save();
    ok(await until(() => { ran = Date.now(); return seen.has(200); }), 'a delayed job runs');
    ok(ran >= when, 'and not before its time', [ran, when]);
    ok(await until(async () => (await queue.checkHealth()).succeeded === 52), 'all have succeeded');
    const health = await queue.checkHealth();
    same([health.waiting, health.active, health.failed, health.delayed], [0, 0, 0, 0], 'and nothing is left');
});
