/* SPDX-License-Identifier: MIT
 *
 * One of the three replicas of TxnStore (txnstore/README.md):
 *
 *     txnstore-replica ID ADDR:PORT ADDR:PORT ADDR:PORT LOG [create]
 *
 * ID is 0, 1 or 2: which of the addresses is ours. LOG is a file or device, made by `create` at the very first start: a
 * replica that has lost its log has lost its promises, and must not come back under its old number.
 */
#include "demi/examples/txnstore/address.h"
#include "demi/examples/txnstore/replica.h"

#include <demi/ext.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void say(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char *const argv[])
{
    struct txn_options o = TXN_OPTIONS_DEFAULT;
    struct demi_args args = {argc, argv, NULL};
    struct sigaction action = {.sa_handler = on_signal};
    if (argc < 6 || argc > 7 || strlen(argv[1]) != 1 || argv[1][0] < '0' || argv[1][0] > '2' ||
        addresses_parse(o.replicas, argv + 2) || (argc == 7 && strcmp(argv[6], "create") != 0)) {
        fprintf(stderr, "usage: %s ID ADDR:PORT ADDR:PORT ADDR:PORT LOG [create]\n", argv[0]);
        return 1;
    }
    o.id = (unsigned)(argv[1][0] - '0');
    o.log_path = argv[5];
    o.create = argc == 7;
    o.seed = (uint64_t)now_us();
    o.stop = &stop;
    o.say = say;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    MUST(demi_init(&args));
    int error = txn_replica_run(&o);
    demi_exit();
    return error ? 1 : 0;
}
