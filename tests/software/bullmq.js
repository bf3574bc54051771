// SPDX-License-Identifier: MIT
// BullMQ: jobs made of Lua. The name of the package is the first argument: two major versions are in use.
'use strict';
const { Queue, Worker, QueueEvents, FlowProducer } = require(process.argv[2] || 'bullmq');
const { connection, ok, same, until, run } = require('./tap');

const name = 'queue-' + (process.argv[2] || 'bullmq');

async function everyJobRunsOnce() {
    const queue = new Queue(name, { connection });
    const seen = new Map();
    await queue.addBulk(Array.from({ length: 200 }, (_, i) => ({ name: 'n', data: { i }, opts: { priority: (i % 5) + 1 } })));
    same(await queue.getPrioritizedCount(), 200, 'jobs with priorities wait');
    const worker = new Worker(name, async (job) => {
        seen.set(job.data.i, (seen.get(job.data.i) || 0) + 1);
        return job.data.i * 2;
    }, { connection, concurrency: 8 });
    await until(() => seen.size === 200);
    await until(async () => (await queue.getCompletedCount()) === 200);
    ok([...seen.values()].every((n) => n === 1), 'every job runs once');
    const done = await queue.getCompleted(0, -1);
    ok(done.length === 200 && done.every((job) => job.returnvalue === job.data.i * 2), 'what jobs return is kept');
    await worker.close();
    await queue.obliterate({ force: true });
    same(Object.values(await queue.getJobCounts('completed', 'waiting', 'active')).reduce((a, b) => a + b), 0, 'a queue is obliterated');
    await queue.close();
}

async function retriesBackOff() {
    const queue = new Queue(name + '-retry', { connection });
    const events = new QueueEvents(name + '-retry', { connection });
    await events.waitUntilReady();
    const attempts = [];
    const worker = new Worker(name + '-retry', async (job) => {
        attempts.push(job.attemptsMade);
        if (job.attemptsMade < 3) throw new Error('not yet');
        return 'at last';
    }, { connection });
    const job = await queue.add('hard', {}, { attempts: 5, backoff: { type: 'exponential', delay: 20 } });
    same(await job.waitUntilFinished(events), 'at last', 'a job that fails is tried again');
    same(attempts, [0, 1, 2, 3], 'as often as it takes');
    await worker.close();
    const lost = await queue.add('hopeless', {}, { attempts: 1 });
    let why = '';
    const refuser = new Worker(name + '-retry', async () => { throw new Error('never'); }, { connection });
    try { await lost.waitUntilFinished(events); } catch (error) { why = error.message; }
    same(why, 'never', 'a job that fails for good says why');
    same(await queue.getFailedCount(), 1, 'and stays among the failed');
    await refuser.close();
    await events.close();
    await queue.close();
}

async function delayedJobsWait() {
    const queue = new Queue(name + '-delay', { connection });
    const order = [];
    await queue.add('late', { n: 2 }, { delay: 300 });
    await queue.add('soon', { n: 1 }, { delay: 50 });
    same(await queue.getDelayedCount(), 2, 'delayed jobs wait');
    const worker = new Worker(name + '-delay', async (job) => { order.push(job.data.n); }, { connection });
    ok(await until(() => order.length === 2), 'and run');
    same(order, [1, 2], 'in the order of their times');
    await worker.close();
    await queue.close();
}

async function flowsRunChildrenFirst() {
    const flow = new FlowProducer({ connection });
    const order = [];
    const queues = [name + '-parent', name + '-child'];
    const workers = queues.map((q) => new Worker(q, async (job) => {
        order.push(job.name);
        if (q === queues[1]) return job.data.v;
        return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
    }, { connection }));
    const tree = await flow.add({
        name: 'sum', queueName: queues[0], data: {},
        children: [1, 2, 3].map((v) => ({ name: 'part' + v, queueName: queues[1], data: { v } })),
    });
    const parents = new Queue(queues[0], { connection });
    await until(async () => (await parents.getCompletedCount()) === 1);
    const job = await parents.getJob(tree.job.id);
    same(job && job.returnvalue, 6, 'a parent gets what its children returned');
    same(order[3], 'sum', 'and runs behind them');
    for (const worker of workers) await worker.close();
    await parents.close();
    await flow.close();
}

async function repeatedJobsCome() {
    const queue = new Queue(name + '-repeat', { connection });
    let runs = 0;
    const worker = new Worker(name + '-repeat', async () => { runs++; }, { connection });
    await queue.upsertJobScheduler('tick', { every: 50 }, { name: 'tick' });
    ok(await until(() => runs >= 4), 'a scheduled job comes again and again');
    same((await queue.getJobSchedulers()).length, 1, 'and its schedule is listed');
    ok(await queue.removeJobScheduler('tick'), 'and is removed');
    await worker.close();
    await queue.close();
}

async function theRateIsLimited() {
    const queue = new Queue(name + '-rate', { connection });
    const times = [];
    await queue.addBulk(Array.from({ length: 6 }, (_, i) => ({ name: 'r', data: { i } })));
    const worker = new Worker(name + '-rate', async () => { times.push(Date.now()); }, {
        connection, limiter: { max: 2, duration: 200 },
    });
    ok(await until(() => times.length === 6), 'a limited worker does all its jobs');
    ok(times[5] - times[0] >= 300, 'but not at once', times.map((t) => t - times[0]));
    await worker.close();
    await queue.close();
}

async function pausedQueuesWait() {
    const queue = new Queue(name + '-pause', { connection });
    let runs = 0;
    const worker = new Worker(name + '-pause', async () => { runs++; }, { connection });
    await queue.pause();
    await queue.add('p', {});
    same(await queue.isPaused(), true, 'a queue is paused');
    same((await queue.getJobCounts('paused', 'waiting')).paused + (await queue.getJobCounts('waiting')).waiting >= 1, true, 'and its job waits');
    await queue.resume();
    ok(await until(() => runs === 1), 'until it is resumed');
    await worker.close();
    await queue.close();
}

run(async () => {
    await everyJobRunsOnce();
    await retriesBackOff();
    await delayedJobsWait();
    await flowsRunChildrenFirst();
    await repeatedJobsCome();
    await theRateIsLimited();
    await pausedQueuesWait();
});
