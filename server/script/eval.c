/* SPDX-License-Identifier: MIT
 *
 * A table of chains by the first bytes of the SHA, mixed with a number of this process; at most two scripts a chain on
 * average. Those that may go are in a list, the one used last in front.
 *
 * Bodies are not kept: the function has what they said, and the SHA is what names them.
 */
#include "server/script/eval.h"

#include <string.h>

#include "server/command/handlers.h"
#include "server/exec/call.h"
#include "server/exec/request.h"
#include "server/script/engine.h"
#include "server/script/flags.h"
#include "server/script/scripts.h"
#include "server/server.h"

#define SHA_DIGITS 40
#define NO_SCRIPT  "NOSCRIPT No matching script. Please use EVAL."

#ifdef SCRIPT_LUA

#include <lauxlib.h>
#include <lua.h>

#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/script/vm.h"
#include "server/sha1.h"
#include "server/worker.h"

#define BUCKETS_AT_FIRST 64

struct eval_script {
    struct eval_script *next; /* of its chain */
    struct list used;         /* of those that may go; alone: this one may not */
    struct script_what what;
    unsigned char sha[SHA1_SIZE];
    char name[SHA_DIGITS + 1];
};

struct eval_cache {
    struct eval_script **buckets;
    size_t bucket_count, count;
    size_t may_go_count;
    struct list may_go;
    uint64_t factor;
};

/* --- the table ---------------------------------------------------------------------------------------------------- */

static struct eval_cache *cache_of(struct server *srv)
{
    struct scripts *s = srv->scripts;
    if (likely(s->cache != NULL)) return s->cache;
    struct eval_cache *cache = mem_calloc(sizeof *cache);
    cache->bucket_count = BUCKETS_AT_FIRST;
    cache->buckets = mem_calloc(cache->bucket_count * sizeof *cache->buckets);
    cache->factor = rng_u64(&srv->workers->rng) | 1;
    list_init(&cache->may_go);
    s->cache = cache;
    return cache;
}

static struct eval_script **bucket_of(const struct eval_cache *cache, const unsigned char *sha)
{
    uint64_t mixed = load_u64((const char *)sha) * cache->factor;
    return &cache->buckets[(mixed >> 32) & (cache->bucket_count - 1)];
}

static struct eval_script *find(const struct eval_cache *cache, const unsigned char *sha)
{
    struct eval_script *s = *bucket_of(cache, sha);
    while (s && memcmp(s->sha, sha, SHA1_SIZE) != 0) s = s->next;
    return s;
}

static void grow(struct eval_cache *cache)
{
    struct eval_script **old = cache->buckets;
    size_t count = cache->bucket_count;
    cache->bucket_count *= 2;
    cache->buckets = mem_calloc(cache->bucket_count * sizeof *cache->buckets);
    for (size_t i = 0; i < count; i++)
        for (struct eval_script *s = old[i], *next; s; s = next) {
            struct eval_script **at = bucket_of(cache, s->sha);
            next = s->next;
            s->next = *at;
            *at = s;
        }
    mem_free(old);
}

static void drop(struct server *srv, struct eval_script *s)
{
    struct eval_cache *cache = srv->scripts->cache;
    struct eval_script **at = bucket_of(cache, s->sha);
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    cache->count--;
    if (!list_is_empty(&s->used)) {
        list_remove(&s->used);
        cache->may_go_count--;
    }
    luaL_unref(srv->scripts->eval->L, LUA_REGISTRYINDEX, s->what.function);
    mem_free(s);
}

/* It was used, or brought, by EVAL: it may go, but is the last to do so. */
static void touch(struct eval_cache *cache, struct eval_script *s)
{
    if (cache->may_go.next == &s->used) return;
    list_remove(&s->used);
    list_push_front(&cache->may_go, &s->used);
}

static void make_room(struct server *srv)
{
    struct scripts *scripts = srv->scripts;
    struct eval_cache *cache = scripts->cache;
    if (cache->may_go_count <= SCRIPT_EVAL_KEPT) return;
    struct eval_script *oldest = list_entry(cache->may_go.prev, struct eval_script, used);
    drop(srv, oldest);
    scripts->evicted++;
}

/* --- SHA ---------------------------------------------------------------------------------------------------------- */

static void write_hex(const unsigned char *sha, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA1_SIZE; i++) {
        out[2 * i] = digits[sha[i] >> 4];
        out[2 * i + 1] = digits[sha[i] & 15];
    }
    out[SHA_DIGITS] = 0;
}

#define DIGIT(c, v) [c] = (v) + 1
/* Values of digits, and one more: 0 is none. */
static const unsigned char digit_values[256] = {
    DIGIT('0', 0),  DIGIT('1', 1),  DIGIT('2', 2),  DIGIT('3', 3),  DIGIT('4', 4),  DIGIT('5', 5),
    DIGIT('6', 6),  DIGIT('7', 7),  DIGIT('8', 8),  DIGIT('9', 9),  DIGIT('a', 10), DIGIT('b', 11),
    DIGIT('c', 12), DIGIT('d', 13), DIGIT('e', 14), DIGIT('f', 15), DIGIT('A', 10), DIGIT('B', 11),
    DIGIT('C', 12), DIGIT('D', 13), DIGIT('E', 14), DIGIT('F', 15)};

static bool read_hex(struct bytes text, unsigned char *sha)
{
    if (text.n != SHA_DIGITS) return false;
    const unsigned char *p = (const unsigned char *)text.p;
    bool good = true;
    for (int i = 0; i < SHA1_SIZE; i++) {
        unsigned high = digit_values[p[2 * i]], low = digit_values[p[2 * i + 1]];
        good &= high && low;
        sha[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return good;
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

/* Compiles a body that is not there yet; NULL: replied with an error. */
static struct eval_script *compile(struct call *c, struct bytes body, const unsigned char *sha)
{
    char err[256];
    uint32_t flags;
    struct bytes code;
    struct eval_cache *cache = cache_of(c->srv);
    struct script_vm *vm = scripts_eval_vm(c->srv);
    if (!script_read_shebang(body, &flags, &code, err, sizeof err)) {
        call_error(c, err);
        return NULL;
    }
    if (!script_vm_load(vm, code, "@user_script")) {
        call_errorf(c, "ERR Error compiling script (new function): %s", lua_tostring(vm->L, -1));
        lua_settop(vm->L, 0);
        return NULL;
    }
    struct eval_script *s = mem_calloc(sizeof *s);
    memcpy(s->sha, sha, SHA1_SIZE);
    write_hex(sha, s->name);
    vm->never_fails = true;
    s->what = (struct script_what){.name = s->name,
                                   .function = luaL_ref(vm->L, LUA_REGISTRYINDEX),
                                   .tail_line = vm->loaded_tail_line,
                                   .flags = flags,
                                   .is_eval = true};
    vm->never_fails = false;
    list_init(&s->used);
    if (cache->count >= 2 * cache->bucket_count) grow(cache);
    struct eval_script **at = bucket_of(cache, sha);
    s->next = *at;
    *at = s;
    cache->count++;
    return s;
}

static struct eval_script *find_body(struct call *c, struct bytes body, bool *is_new)
{
    unsigned char sha[SHA1_SIZE];
    sha1(body, sha);
    struct eval_script *s = find(cache_of(c->srv), sha);
    *is_new = !s;
    return s ? s : compile(c, body, sha);
}

static struct eval_script *find_sha(struct call *c, struct bytes text)
{
    unsigned char sha[SHA1_SIZE];
    struct eval_script *s = read_hex(text, sha) ? find(cache_of(c->srv), sha) : NULL;
    if (!s) call_error(c, NO_SCRIPT);
    return s;
}

void script_eval(struct call *c, bool by_sha, bool read_only)
{
    int numkeys;
    bool is_new = false;
    struct eval_cache *cache = cache_of(c->srv);
    if (by_sha && unlikely(c->argv[1].n != SHA_DIGITS)) {
        call_error(c, NO_SCRIPT);
        return;
    }
    if (!script_numkeys(c, 2, &numkeys)) return;
    struct eval_script *s = by_sha ? find_sha(c, c->argv[1]) : find_body(c, c->argv[1], &is_new);
    if (!s) return;
    if (is_new) {
        list_push_front(&cache->may_go, &s->used);
        cache->may_go_count++;
        make_room(c->srv);
    } else if (!list_is_empty(&s->used)) {
        touch(cache, s);
    }
    struct script_what what = s->what;
    what.read_only = read_only;
    script_run(c, c->srv->scripts->eval, &what, &c->argv[3], c->argc - 3, numkeys);
}

void script_eval_load(struct call *c, struct bytes body)
{
    bool is_new;
    struct eval_script *s = find_body(c, body, &is_new);
    if (!s) return;
    if (!list_is_empty(&s->used)) {
        list_remove(&s->used);
        list_init(&s->used);
        c->srv->scripts->cache->may_go_count--;
    }
    call_bulk(c, bytes_of(s->name, SHA_DIGITS));
}

bool script_eval_has(const struct server *srv, struct bytes text)
{
    unsigned char sha[SHA1_SIZE];
    return srv->scripts->cache && read_hex(text, sha) && find(srv->scripts->cache, sha);
}

static void forget_all(struct eval_cache *cache)
{
    if (!cache) return;
    for (size_t i = 0; i < cache->bucket_count; i++)
        for (struct eval_script *s = cache->buckets[i], *next; s; s = next) {
            next = s->next;
            mem_free(s);
        }
    mem_free(cache->buckets);
    mem_free(cache);
}

static void free_vm(void *vm) { script_vm_free(vm); }

void script_eval_flush(struct server *srv, bool elsewhere)
{
    struct scripts *scripts = srv->scripts;
    struct script_vm *vm = scripts->eval;
    forget_all(scripts->cache);
    scripts->cache = NULL;
    scripts->eval = NULL;
    if (!vm) return;
    if (elsewhere) lazyfree_other(srv, free_vm, vm);
    else free_vm(vm);
}

void script_eval_fini(struct server *srv) { script_eval_flush(srv, false); }

uint32_t script_eval_flags(const struct server *srv, const struct request *r)
{
    uint32_t flags;
    char err[256];
    struct bytes code;
    unsigned char sha[SHA1_SIZE];
    bool by_body = r->cmd->handler == cmd_eval || r->cmd->handler == cmd_eval_ro;
    if (!by_body && r->cmd->handler != cmd_evalsha && r->cmd->handler != cmd_evalsha_ro) return r->cmd->flags;
    if (r->argc < 2) return r->cmd->flags;
    if (by_body) {
        if (!script_read_shebang(r->argv[1], &flags, &code, err, sizeof err)) return r->cmd->flags;
        return script_command_flags(r->cmd->flags, flags);
    }
    const struct eval_script *s =
        srv->scripts->cache && read_hex(r->argv[1], sha) ? find(srv->scripts->cache, sha) : NULL;
    return s ? script_command_flags(r->cmd->flags, s->what.flags) : r->cmd->flags;
}

size_t script_eval_count(const struct server *srv) { return srv->scripts->cache ? srv->scripts->cache->count : 0; }

size_t script_eval_memory(const struct server *srv)
{
    const struct eval_cache *cache = srv->scripts->cache;
    if (!cache) return 0;
    return cache->count * sizeof(struct eval_script) + cache->bucket_count * sizeof *cache->buckets + sizeof *cache;
}

#else

void script_eval(struct call *c, bool by_sha, bool read_only) { (void)c, (void)by_sha, (void)read_only; }
void script_eval_load(struct call *c, struct bytes body) { (void)c, (void)body; }
bool script_eval_has(const struct server *srv, struct bytes text)
{
    (void)srv, (void)text;
    return false;
}
void script_eval_flush(struct server *srv, bool elsewhere) { (void)srv, (void)elsewhere; }
void script_eval_fini(struct server *srv) { (void)srv; }
uint32_t script_eval_flags(const struct server *srv, const struct request *r)
{
    (void)srv;
    return r->cmd->flags;
}
size_t script_eval_count(const struct server *srv)
{
    (void)srv;
    return 0;
}
size_t script_eval_memory(const struct server *srv)
{
    (void)srv;
    return 0;
}

#endif
