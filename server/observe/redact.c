/* SPDX-License-Identifier: MIT
 *
 * Redis hides these while it runs the command, argument by argument, and shows what stands behind the first mistake
 * (HELLO 9 AUTH user password). Here they are found by their place whether the call is well-formed or not: a password
 * is one even in a call that fails.
 */
#include "server/observe/redact.h"

#include <string.h>

#include "server/command/handlers.h"
#include "server/conf/conf.h"
#include "server/mem.h"

static void hide(struct bytes *arg) { *arg = BYTES("(redacted)"); }

/* HELLO [version [AUTH user password] [SETNAME name] ...] */
static void hide_hello(struct bytes *argv, int argc)
{
    for (int i = 2; i < argc; i++) {
        if (bytes_is_word(argv[i], "setname")) {
            i++;
        } else if (bytes_is_word(argv[i], "auth")) {
            for (int k = 1; k <= 2 && i + k < argc; k++) hide(&argv[i + k]);
            i += 2;
        }
    }
}

/* MIGRATE host port key db timeout [... AUTH password ... AUTH2 user password ...] [KEYS ...] */
static void hide_migrate(struct bytes *argv, int argc)
{
    for (int i = 6; i < argc && !bytes_is_word(argv[i], "keys"); i++) {
        int secrets = bytes_is_word(argv[i], "auth2") ? 2 : bytes_is_word(argv[i], "auth") ? 1 : 0;
        for (int k = 1; k <= secrets && i + k < argc; k++) hide(&argv[i + k]);
        i += secrets;
    }
}

bool redact_needed(const struct command *cmd)
{
    cmd_handler *h = cmd->handler;
    return h == cmd_auth || h == cmd_hello || h == cmd_config_set || h == cmd_acl_setuser || h == cmd_migrate;
}

const struct bytes *redact(const struct command *cmd, const struct bytes *argv, int argc)
{
    cmd_handler *h = cmd->handler;
    if (!redact_needed(cmd)) return argv;
    struct bytes *shown = mem_alloc((size_t)argc * sizeof *shown);
    memcpy(shown, argv, (size_t)argc * sizeof *shown);
    if (h == cmd_hello) hide_hello(shown, argc);
    if (h == cmd_migrate) hide_migrate(shown, argc);
    for (int i = 1; h == cmd_auth && i < argc; i++) hide(&shown[i]);
    for (int i = 2; h == cmd_acl_setuser && i < argc; i++) hide(&shown[i]);
    for (int i = 2; h == cmd_config_set && i + 1 < argc; i += 2) {
        if (conf_is_sensitive(argv[i])) hide(&shown[i + 1]);
    }
    return shown;
}
