// SPDX-License-Identifier: MIT
// What the programs here share: TAP lines, the server's address, waiting.
'use strict';
const assert = require('assert');

const port = Number(process.env.REDIS_PORT);
const connection = { host: '127.0.0.1', port };
let count = 0, failed = 0;

function ok(passed, claim, note) {
    count++;
    if (!passed) failed++;
    console.log((passed ? 'ok ' : 'not ok ') + count + ' - ' + claim);
    if (!passed && note !== undefined) console.log('#   ' + String(note).replace(/\n/g, '\n#   '));
}

function same(got, wanted, claim) {
    try {
        assert.deepStrictEqual(got, wanted);
        ok(true, claim);
    } catch (error) {
        ok(false, claim, 'got ' + JSON.stringify(got) + '\nwanted ' + JSON.stringify(wanted));
    }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Until what() is true; false: it has not become so. No test is decided by how long something takes.
async function until(what, seconds = 60) {
    const end = Date.now() + seconds * 1000;
    while (!(await what())) {
        if (Date.now() > end) return false;
        await sleep(10);
    }
    return true;
}

// Runs the scenario, and ends: what a program leaves open does not keep us.
function run(scenario) {
    scenario().catch((error) => ok(false, 'the scenario ends', error.stack)).then(() => {
        console.log('1..' + count);
        process.exit(failed ? 1 : 0);
    });
}

module.exports = { port, connection, ok, same, sleep, until, run };
