/* SPDX-License-Identifier: MIT
 *
 * A client of TxnStore in the manner of YCSB-T: transactions that read some keys and write them, many clients at once.
 *
 *     txnstore-client ADDR:PORT ADDR:PORT ADDR:PORT run [CLIENTS [TRANSACTIONS [OPS [KEYS [zipf|uniform [READS]]]]]]
 *     txnstore-client ADDR:PORT ADDR:PORT ADDR:PORT sum [KEYS] | status
 *
 * A value (700 bytes) begins with a number, to which each write adds one: `sum` over all keys is how many writes there
 * were, to the last one. READS of a hundred transactions write nothing. A conflict is tried again, and counted.
 */
#include "demi/examples/txnstore/address.h"
#include "demi/examples/txnstore/txn.h"

#include <demi/ext.h>
#include <inttypes.h>

enum { CLIENTS_MAX = 128, VALUE_BYTES = 700, SAMPLES_MAX = 1 << 20 };

static struct {
    struct txn_client_options o;
    unsigned long clients, transactions, ops, keys, reads;
    double *weights; /* NULL: uniform; else of keys 0 to i together */
    unsigned long begun, committed, conflicts, unknown, failed;
    double *samples; /* us, of those that committed */
} load;

static size_t name_key(char out[TXN_KEY_MAX + 1], unsigned long number)
{
    return (size_t)snprintf(out, TXN_KEY_MAX + 1, "user%060lu", number); /* 64 bytes, as the paper's */
}

static unsigned long draw_key(uint64_t *random)
{
    double at = (double)(txn_random(random) >> 11) / (double)(UINT64_C(1) << 53);
    unsigned long low = 0, high = load.keys - 1;
    if (!load.weights) return (unsigned long)(at * (double)load.keys);
    for (at *= load.weights[high]; low < high;) {
        unsigned long middle = (low + high) / 2;
        if (load.weights[middle] > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

static int get_number(struct txn_client *t, unsigned long key, uint64_t *out)
{
    char name[TXN_KEY_MAX + 1];
    uint8_t value[TXN_VALUE_MAX];
    size_t size = 0;
    int err = txn_get(t, name, name_key(name, key), value, &size);
    struct txn_reader in = {value, value + size, false};
    *out = txn_read(&in, 8);
    return err == ENOENT ? 0 : err;
}

static int put_number(struct txn_client *t, unsigned long key, uint64_t number)
{
    char name[TXN_KEY_MAX + 1];
    uint8_t value[VALUE_BYTES] = {0};
    struct txn_writer out = {value, value + sizeof value, false};
    txn_write(&out, number, 8);
    return txn_put(t, name, name_key(name, key), value, sizeof value);
}

static int run_one(struct txn_client *t, const unsigned long keys[], bool writes)
{
    uint64_t number;
    int err = txn_begin(t);
    for (unsigned long i = 0; !err && i < load.ops; i++) {
        err = get_number(t, keys[i], &number);
        if (!err && writes) err = put_number(t, keys[i], number + 1);
    }
    if (!err) return txn_commit(t);
    txn_abort(t);
    return err == ETIMEDOUT ? EAGAIN : err; /* nothing was written */
}

static void count_end(int err, double began_us)
{
    if (err == ETIMEDOUT) load.unknown++;
    else if (err) load.failed++;
    else if (load.committed++ < SAMPLES_MAX) load.samples[load.committed - 1] = now_us() - began_us;
}

static int64_t client(void *arg)
{
    struct txn_client t;
    struct txn_client_options o = load.o;
    o.seed += (uintptr_t)arg * 7919;
    MUST(txn_open(&t, &o));
    while (load.begun < load.transactions) {
        unsigned long keys[TXN_OPS_MAX], count = 0;
        load.begun++;
        while (count < load.ops) {
            unsigned long key = draw_key(&t.random), i = 0;
            while (i < count && keys[i] != key) i++;
            if (i == count) keys[count++] = key;
        }
        bool writes = txn_random(&t.random) % 100 >= load.reads;
        double began = now_us();
        int err;
        while ((err = run_one(&t, keys, writes)) == ECANCELED) load.conflicts++;
        count_end(err, began);
    }
    txn_close(&t);
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int run(void)
{
    demi_qtoken_t tasks[CLIENTS_MAX];
    double began = now_us();
    load.samples = calloc(SAMPLES_MAX, sizeof *load.samples);
    if (!load.samples) MUST(ENOMEM);
    for (uintptr_t i = 0; i < load.clients; i++) MUST(demi_spawn(&tasks[i], client, (void *)i, 0));
    for (unsigned long i = 0; i < load.clients; i++) await(tasks[i]);
    double seconds = (now_us() - began) / 1e6;
    unsigned long count = load.committed < SAMPLES_MAX ? load.committed : SAMPLES_MAX;
    qsort(load.samples, count, sizeof *load.samples, compare);
    printf("%lu committed, %lu conflicts, %lu unknown, %lu failed; %.0f a second", load.committed, load.conflicts,
           load.unknown, load.failed, (double)load.committed / seconds);
    if (count) printf("; p50 %.0f us, p99 %.0f us", load.samples[count / 2], load.samples[count * 99 / 100]);
    printf("\n");
    free(load.samples);
    return load.committed == 0;
}

/* Eight keys a transaction: each of those is of one moment. */
static int sum(void)
{
    struct txn_client t;
    uint64_t total = 0, number;
    MUST(txn_open(&t, &load.o));
    for (unsigned long first = 0; first < load.keys;) {
        uint64_t part = 0;
        unsigned long key = first;
        MUST(txn_begin(&t));
        for (; key < load.keys && key < first + TXN_OPS_MAX; key++) {
            MUST(get_number(&t, key, &number));
            part += number;
        }
        int err = txn_commit(&t);
        if (err != ECANCELED) MUST(err);
        if (err) continue;
        total += part;
        first = key;
    }
    txn_close(&t);
    printf("%" PRIu64 "\n", total);
    return 0;
}

static int status(void)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};
    struct txn_client t;
    load.o.patience_ns = load.o.retry_ns * 5;
    MUST(txn_open(&t, &load.o));
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        uint64_t w[TXN_WORDS_MAX];
        if (txn_status(&t, i, w)) printf("%u: no answer\n", i);
        else
            printf("%u: %s, term %" PRIu64 ", last %" PRIu64 ", committed %" PRIu64 ", applied %" PRIu64
                   ", keys %" PRIu64 ", digest %016" PRIx64 ", refused %" PRIu64 "\n",
                   i, roles[w[1] % 3], w[2], w[4], w[5], w[6], w[7], w[8], w[9]);
    }
    txn_close(&t);
    return 0;
}

static unsigned long number_of(int argc, char *const argv[], int i, unsigned long otherwise, unsigned long most)
{
    unsigned long n = argc > i ? strtoul(argv[i], NULL, 10) : otherwise;
    return n <= most ? n : most;
}

int main(int argc, char *const argv[])
{
    struct demi_args args = {argc, argv, NULL};
    const char *verb = argc > 4 ? argv[4] : "";
    load.o = (struct txn_client_options){.seed = (uint64_t)now_us(), .retry_ns = 50000000, .patience_ns = 5000000000};
    bool is_sum = strcmp(verb, "sum") == 0;
    load.clients = number_of(argc, argv, 5, 8, CLIENTS_MAX);
    load.transactions = number_of(argc, argv, 6, 10000, 1000000000);
    load.ops = number_of(argc, argv, 7, 1, TXN_OPS_MAX);
    load.keys = number_of(argc, argv, is_sum ? 5 : 8, 1000, 1000000);
    load.reads = number_of(argc, argv, 10, 0, 100);
    if (argc < 5 || argc > 11 || addresses_parse(load.o.replicas, argv + 1) || load.clients < 1 || load.ops < 1 ||
        load.keys < load.ops || (!is_sum && strcmp(verb, "run") != 0 && strcmp(verb, "status") != 0)) {
        fprintf(stderr,
                "usage: %s ADDR:PORT ADDR:PORT ADDR:PORT run [CLIENTS [TRANSACTIONS [OPS [KEYS [zipf|uniform "
                "[READS]]]]]]\n       ... sum [KEYS]\n       ... status\n",
                argv[0]);
        return 1;
    }
    if (argc > 9 && strcmp(argv[9], "zipf") == 0 && !(load.weights = calloc(load.keys, sizeof *load.weights)))
        MUST(ENOMEM);
    for (unsigned long i = 0; load.weights && i < load.keys; i++) /* the exponent is 1 */
        load.weights[i] = 1 / (double)(i + 1) + (i ? load.weights[i - 1] : 0);
    MUST(demi_init(&args));
    int failed = is_sum ? sum() : strcmp(verb, "run") == 0 ? run() : status();
    demi_exit();
    free(load.weights);
    return failed;
}
