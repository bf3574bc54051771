// SPDX-License-Identifier: MIT
// Locks, semaphores and limits of rates: Redlock 4 and 5, redis-semaphore, rate-limiter-flexible.
'use strict';
const Redis = require('ioredis');
const Redlock4 = require('redlock');
const Redlock5 = require('redlock5').default;
const { Mutex, Semaphore, MultiSemaphore } = require('redis-semaphore');
const { RateLimiterRedis, RateLimiterQueue, BurstyRateLimiter } = require('rate-limiter-flexible');
const { port, ok, same, sleep, run } = require('./tap');

async function refused(promise) {
    try { await promise; return false; } catch (error) { return true; }
}

async function redlocks(redis) {
    const four = new Redlock4([redis], { retryCount: 0 });
    const held = await four.lock('lock4', 10000);
    ok(await refused(four.lock('lock4', 100)), 'redlock 4: a held lock is not given twice');
    await held.extend(20000);
    ok((await redis.pttl('lock4')) > 10000, 'redlock 4: it is extended');
    await held.unlock();
    await (await four.lock('lock4', 1000)).unlock();
    ok(true, 'redlock 4: and given again');
    const five = new Redlock5([redis], { retryCount: 0 });
    let inside = 0, most = 0;
    const patient = new Redlock5([redis], { retryCount: -1, retryDelay: 5 });
    await Promise.all([1, 2, 3, 4].map(() => patient.using(['lock5', 'lock5b'], 5000, async () => {
        most = Math.max(most, ++inside);
        await sleep(10);
        inside--;
    })));
    same(most, 1, 'redlock 5: one at a time');
    const lock = await five.acquire(['lock5'], 5000);
    ok(await refused(five.acquire(['lock5'], 100)), 'redlock 5: a held lock is not given twice');
    await lock.release();
    same(await redis.exists('lock5'), 0, 'redlock 5: nothing is left of it');
}

async function semaphores(redis) {
    const mutex = new Mutex(redis, 'mutex', { acquireTimeout: 50, retryInterval: 5 });
    const other = new Mutex(redis, 'mutex', { acquireTimeout: 50, retryInterval: 5 });
    await mutex.acquire();
    ok(await refused(other.acquire()), 'redis-semaphore: a mutex excludes');
    await mutex.release();
    await other.acquire();
    await other.release();
    const three = Array.from({ length: 4 }, () => new Semaphore(redis, 'sem', 3, { acquireTimeout: 50, retryInterval: 5 }));
    for (const s of three.slice(0, 3)) await s.acquire();
    ok(await refused(three[3].acquire()), 'redis-semaphore: three get in, the fourth does not');
    await three[0].release();
    await three[3].acquire();
    ok(true, 'redis-semaphore: until one has left');
    for (const s of three.slice(1)) await s.release();
    const multi = new MultiSemaphore(redis, 'multi', 5, 3, { acquireTimeout: 50, retryInterval: 5 });
    const more = new MultiSemaphore(redis, 'multi', 5, 3, { acquireTimeout: 50, retryInterval: 5 });
    await multi.acquire();
    ok(await refused(more.acquire()), 'redis-semaphore: permits are counted');
    await multi.release();
}

async function limits(redis) {
    const limiter = new RateLimiterRedis({ storeClient: redis, keyPrefix: 'rl', points: 5, duration: 60 });
    const left = [];
    for (let i = 0; i < 5; i++) left.push((await limiter.consume('user')).remainingPoints);
    same(left, [4, 3, 2, 1, 0], 'rate-limiter-flexible: points are used up');
    let refusal = null;
    try { await limiter.consume('user'); } catch (r) { refusal = r; }
    ok(refusal && refusal.msBeforeNext > 0 && refusal.consumedPoints === 6, 'rate-limiter-flexible: then it refuses', refusal);
    await limiter.reward('user', 2);
    same((await limiter.get('user')).consumedPoints, 4, 'rate-limiter-flexible: points are given back');
    await limiter.block('other', 10);
    ok(await refused(limiter.consume('other')), 'rate-limiter-flexible: who is blocked is refused');
    ok(await limiter.delete('user'), 'rate-limiter-flexible: and forgotten');
    const bursty = new BurstyRateLimiter(new RateLimiterRedis({ storeClient: redis, keyPrefix: 'b1', points: 1, duration: 60 }),
        new RateLimiterRedis({ storeClient: redis, keyPrefix: 'b2', points: 2, duration: 60 }));
    const went = [];
    for (let i = 0; i < 4; i++) went.push(!(await refused(bursty.consume('x'))));
    same(went, [true, true, true, false], 'rate-limiter-flexible: bursts are limited, too');
    const queue = new RateLimiterQueue(new RateLimiterRedis({ storeClient: redis, keyPrefix: 'q', points: 2, duration: 1 }));
    await Promise.all([1, 2, 3].map(() => queue.removeTokens(1)));
    ok(true, 'rate-limiter-flexible: who queues gets on');
}

run(async () => {
    const redis = new Redis(port);
    await redlocks(redis);
    await semaphores(redis);
    await limits(redis);
});
