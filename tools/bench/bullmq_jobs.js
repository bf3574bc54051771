// SPDX-License-Identifier: MIT
// How long BullMQ takes to add jobs and to do them: bullmq_jobs.js PORT JOBS prints seconds.
'use strict';
const { Queue, Worker } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };
const jobs = Number(process.argv[3]), LOT = 500;

(async () => {
    const queue = new Queue('bench', { connection });
    await queue.waitUntilReady();
    const began = process.hrtime.bigint();
    for (let i = 0; i < jobs; i += LOT)
        await queue.addBulk(Array.from({ length: LOT }, (_, k) => ({ name: 'job', data: { number: i + k }, opts: { removeOnComplete: true } })));
    let done = 0;
    await new Promise((resolve) => {
        new Worker('bench', async () => {}, { connection, concurrency: 50 }).on('completed', () => { if (++done === jobs) resolve(); });
    });
    console.log(Number(process.hrtime.bigint() - began) / 1e9);
    process.exit(0);
})();
