/* SPDX-License-Identifier: MIT
 *
 * The commands on keys whatever they hold: DEL, RENAME, COPY, MOVE, EXISTS, TYPE and so on. Behaviour and texts are
 * redis-server 7.0.15's.
 */
#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/glob.h"

/* --- gone --------------------------------------------------------------------------------------------------------- */

static void delete_keys(struct call *c, bool lazy)
{
    size_t ahead = 0;
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++) {
        const struct key_ref *key = call_key_ahead(c, &ahead, i);
        if (!(lazy ? db_delete_lazy(c, key) : db_delete(c, key))) continue;
        db_changed(c, key, NOTIFY_GENERIC, "del");
        count++;
    }
    call_integer(c, count);
}

void cmd_del(struct call *c) { delete_keys(c, c->cfg->lazyfree_lazy_user_del); }
void cmd_unlink(struct call *c) { delete_keys(c, true); }

/* --- asked -------------------------------------------------------------------------------------------------------- */

void cmd_exists(struct call *c)
{
    size_t ahead = 0;
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++) count += db_lookup_notouch(c, call_key_ahead(c, &ahead, i), false) != NULL;
    call_integer(c, count);
}

void cmd_touch(struct call *c)
{
    size_t ahead = 0;
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++) count += db_lookup_read(c, call_key_ahead(c, &ahead, i)) != NULL;
    call_integer(c, count);
}

void cmd_type(struct call *c)
{
    const struct entry *e = db_lookup_notouch(c, call_key(c, 1), false);
    reply_status(c->out, e ? obj_type_name(e->type) : "none");
}

void cmd_randomkey(struct call *c)
{
    const struct entry *e = db_random(c);
    if (e) call_bulk(c, entry_key(e));
    else reply_null(c->out);
}

struct listing {
    struct call *c;
    struct bytes pattern;
    bool all;
    size_t count;
};

static void list_key(void *arg, const struct entry *e)
{
    struct listing *l = arg;
    struct bytes key = entry_key(e);
    if (!l->all && !glob_match(l->pattern, key, false)) return;
    if (db_is_expired(l->c, e)) return;
    call_bulk(l->c, key);
    l->count++;
}

void cmd_keys(struct call *c)
{
    struct listing l = {.c = c, .pattern = c->argv[1], .all = bytes_equal(c->argv[1], BYTES("*"))};
    struct reply_mark m = reply_defer(c->out);
    if (!l.all && glob_is_literal(l.pattern)) { /* matches itself only */
        struct key_ref key = key_ref_of(c->db, l.pattern);
        const struct entry *e = db_peek(c, &key);
        if (e) list_key(&l, e);
    } else {
        db_each(c->db, list_key, &l);
    }
    reply_defer_array(c->out, m, l.count);
}

/* --- another name or place ---------------------------------------------------------------------------------------- */

static void rename_key(struct call *c, bool nx)
{
    const struct key_ref *from = call_key(c, 1), *to = call_key(c, 2);
    const struct entry *e = db_lookup_in(c, c->db, from);
    if (!e) {
        call_error(c, "ERR no such key");
        return;
    }
    if (bytes_equal(from->name, to->name)) {
        if (nx) call_integer(c, 0);
        else call_ok(c);
        return;
    }
    if (db_lookup_in(c, c->db, to) && nx) {
        call_integer(c, 0);
        return;
    }
    db_move(c, from, e, c->db, to);
    db_changed(c, from, NOTIFY_GENERIC, NULL);
    db_changed(c, to, NOTIFY_GENERIC, NULL);
    c->dirty--; /* one change, two keys */
    db_notify(c, NOTIFY_GENERIC, "rename_from", from, c->db->id);
    db_notify(c, NOTIFY_GENERIC, "rename_to", to, c->db->id);
    if (nx) call_integer(c, 1);
    else call_ok(c);
}

void cmd_rename(struct call *c) { rename_key(c, false); }
void cmd_renamenx(struct call *c) { rename_key(c, true); }

/* The database of a number given as argument; NULL: an error was replied. */
static struct db *db_of_arg(struct call *c, struct bytes arg)
{
    int64_t id;
    if (!call_int(c, arg, &id)) return NULL;
    if (id < INT32_MIN || id > INT32_MAX) {
        call_errorf(c, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
        return NULL;
    }
    struct db *db = srv_db(c, id);
    if (!db) call_error(c, "ERR DB index is out of range");
    return db;
}

void cmd_move(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    if (srv_cluster_enabled(c)) {
        call_error(c, "ERR MOVE is not allowed in cluster mode");
        return;
    }
    struct db *to = db_of_arg(c, c->argv[2]);
    if (!to) return;
    if (to == c->db) {
        call_error(c, "ERR source and destination objects are the same");
        return;
    }
    const struct entry *e = db_lookup_in(c, c->db, key);
    if (!e || db_lookup_in(c, to, key)) {
        call_integer(c, 0);
        return;
    }
    db_move(c, key, e, to, key);
    db_changed(c, key, NOTIFY_GENERIC, NULL);
    db_changed_in(c, to, key, NOTIFY_GENERIC, NULL);
    c->dirty--;
    db_notify(c, NOTIFY_GENERIC, "move_from", key, c->db->id);
    db_notify(c, NOTIFY_GENERIC, "move_to", key, to->id);
    call_integer(c, 1);
}

static bool copy_options(struct call *c, struct db **to, bool *replace)
{
    for (int i = 3; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "replace")) {
            *replace = true;
        } else if (bytes_is_word(c->argv[i], "db") && i + 1 < c->argc) {
            *to = db_of_arg(c, c->argv[++i]);
            if (!*to) return false;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

void cmd_copy(struct call *c)
{
    const struct key_ref *from = call_key(c, 1), *name = call_key(c, 2);
    struct db *to = c->db;
    bool replace = false;
    if (!copy_options(c, &to, &replace)) return;
    if (srv_cluster_enabled(c) && (c->db->id != 0 || to->id != 0)) {
        call_error(c, "ERR Copying to another database is not allowed in cluster mode");
        return;
    }
    if (to == c->db && bytes_equal(from->name, name->name)) {
        call_error(c, "ERR source and destination objects are the same");
        return;
    }
    const struct entry *e = db_lookup_read(c, from);
    if (!e || (db_lookup_in(c, to, name) && !replace)) {
        call_integer(c, 0);
        return;
    }
    db_put_value_in(c, to, name, value_dup(e), entry_expire(e), PUT_AFRESH);
    db_changed_in(c, to, name, NOTIFY_GENERIC, "copy_to");
    call_integer(c, 1);
}
