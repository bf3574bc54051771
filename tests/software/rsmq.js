// SPDX-License-Identifier: MIT
// RSMQ: a message queue of three scripts.
'use strict';
const RSMQ = require('rsmq');
const { port, ok, same, sleep, until, run } = require('./tap');

run(async () => {
    const mq = new RSMQ({ host: '127.0.0.1', port, ns: 'rsmq' });
    same(await mq.createQueueAsync({ qname: 'q', vt: 1 }), 1, 'a queue is made');
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await mq.sendMessageAsync({ qname: 'q', message: 'message ' + i }));
    same(new Set(ids).size, 10, 'messages have names of their own');
    same((await mq.getQueueAttributesAsync({ qname: 'q' })).msgs, 10, 'and wait');
    const first = await mq.receiveMessageAsync({ qname: 'q', vt: 100 });
    same([first.message, first.rc, first.id], ['message 0', 1, ids[0]], 'the oldest comes first');
    const second = await mq.popMessageAsync({ qname: 'q' });
    same(second.message, 'message 1', 'one is received and deleted');
    same(await mq.changeMessageVisibilityAsync({ qname: 'q', id: first.id, vt: 0 }), 1, 'one is shown again');
    await sleep(5);
    const again = await mq.receiveMessageAsync({ qname: 'q' });
    same([again.id, again.rc], [ids[2], 1], 'behind those that have waited longer');
    ok(await until(async () => (await mq.getQueueAttributesAsync({ qname: 'q' })).hiddenmsgs === 0), 'what nobody deletes comes back');
    same(await mq.deleteMessageAsync({ qname: 'q', id: first.id }), 1, 'it is deleted');
    let count = 0;
    for (let m; (m = await mq.popMessageAsync({ qname: 'q' })).id; ) count++;
    same(count, 8, 'the rest is there');
    await mq.deleteQueueAsync({ qname: 'q' });
    same(await mq.listQueuesAsync(), [], 'and the queue is gone');
});
