/* SPDX-License-Identifier: MIT
 *
 * Rules of users: any text must be read or refused. What was read is described, and the description read again is
 * described as itself. The same words are given one by one, as ACL SETUSER does, and each user is asked for some
 * commands.
 */
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/acl/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void describe(const struct acl_users *users, struct conf_text *out)
{
    for (size_t i = 0; i < users->count; i++) {
        acl_describe_one(users->v[i], out);
        conf_text_add_str(out, "\n");
    }
}

static void ask(struct acl_user *u)
{
    static const struct bytes calls[][4] = {
        {BYTES("GET"), BYTES("a")},
        {BYTES("SET"), BYTES("b"), BYTES("v")},
        {BYTES("PSUBSCRIBE"), BYTES("c*")},
        {BYTES("SELECT"), BYTES("0")},
        {BYTES("ZUNIONSTORE"), BYTES("d"), BYTES("7"), BYTES("e")},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int argc = 0, at;
        while (argc < 4 && calls[i][argc].p) argc++;
        enum acl_denied why = acl_user_check(u, command_find(calls[i][0]), calls[i], argc, &at);
        ASSERT(why != ACL_ALLOWED || u->selector_count > 0);
        if (acl_user_is_unrestricted(u)) ASSERT(why == ACL_ALLOWED);
    }
}

/* What they are is read back, and is the same then: nothing is lost by ACL SAVE. */
static void check_saved(const struct acl_users *users)
{
    struct acl_users again = {0};
    struct conf_text err = {0}, first = {0}, second = {0};
    describe(users, &first);
    ASSERT(acl_parse(conf_text_bytes(&first), "users", false, &again, &err));
    describe(&again, &second);
    ASSERT(bytes_equal(conf_text_bytes(&first), conf_text_bytes(&second)));
    acl_users_free(&again);
    conf_text_free(&second);
    conf_text_free(&first);
    conf_text_free(&err);
}

static void from_file(struct bytes text)
{
    struct acl_users users = {0};
    struct conf_text err = {0};
    if (acl_parse(text, "users", false, &users, &err)) {
        for (size_t i = 0; i < users.count; i++) ask(users.v[i]);
        check_saved(&users);
    } else {
        ASSERT(err.n > 0);
    }
    acl_users_free(&users);
    conf_text_free(&err);
}

static void one_by_one(struct bytes text)
{
    struct conf_args a;
    struct acl acl;
    if (conf_split(text, &a)) return;
    acl_init(&acl);
    for (int i = 0; i < a.argc; i += 8) {
        struct conf_text err = {0};
        int count = a.argc - i < 8 ? a.argc - i : 8;
        struct acl_user *planned = acl_plan(&acl, BYTES("u"), a.argv + i, count, i & 8, &err);
        ASSERT((planned != NULL) == (err.n == 0));
        if (planned) acl_put(&acl, planned);
        conf_text_free(&err);
    }
    if (acl_find(&acl, BYTES("u"))) ask(acl_find(&acl, BYTES("u")));
    check_saved(&acl.users);
    acl_fini(&acl);
    conf_args_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    command_table_init();
    from_file(bytes_of((const char *)data, size));
    one_by_one(bytes_of((const char *)data, size));
    return 0;
}
