/* SPDX-License-Identifier: MIT
 *
 * A file lives as long as something refers to it: a name in either state, a change that is not safe, an open file. A
 * name lives as long as the tree.
 */
#include "libos/sim/disk_tree.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk_name {
    struct list all;
    struct disk_node *folder; /* held */
    struct disk_node *now, *safe;
    char text[NAME_MAX + 1];
};

/* Of one name; those of a rename have one number. */
struct disk_change {
    struct list all;
    struct disk_name *name;
    struct disk_node *to; /* NULL: it goes */
    uint32_t number;
};

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static struct disk_node *node_new(struct disk_tree *t, bool is_folder)
{
    struct disk_node *n = disk_node_new(++t->node_ids, is_folder);
    list_push_back(&t->nodes, &n->all);
    return n;
}

static struct disk_node *hold(struct disk_node *n)
{
    if (n) n->refs++;
    return n;
}

static void let_go(struct disk_node *n)
{
    if (n && --n->refs == 0) disk_node_free(n);
}

void disk_tree_close(struct disk_node *n)
{
    ASSERT(n->shown);
    n->shown--;
    let_go(n);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static struct disk_name *find_name(const struct disk_tree *t, const struct disk_node *folder, const char *text,
                                   size_t n)
{
    list_for_each(it, &t->names)
    {
        struct disk_name *name = list_entry(it, struct disk_name, all);
        if (name->folder == folder && strlen(name->text) == n && !memcmp(name->text, text, n)) return name;
    }
    return NULL;
}

static struct disk_name *get_name(struct disk_tree *t, struct disk_node *folder, const char *text, size_t n)
{
    struct disk_name *name = find_name(t, folder, text, n);
    if (name) return name;
    name = calloc(1, sizeof *name);
    ASSERT(name);
    name->folder = hold(folder);
    memcpy(name->text, text, n);
    list_push_back(&t->names, &name->all);
    return name;
}

static void set_now(struct disk_name *name, struct disk_node *to)
{
    struct disk_node *before = name->now;
    name->now = hold(to);
    if (to) to->shown++;
    if (before) disk_tree_close(before);
}

static void set_safe(struct disk_name *name, struct disk_node *to)
{
    struct disk_node *before = name->safe;
    name->safe = hold(to);
    let_go(before);
}

/* Programs see it at once. */
static void change(struct disk_tree *t, struct disk_name *name, struct disk_node *to, uint32_t number)
{
    struct disk_change *c = calloc(1, sizeof *c);
    ASSERT(c);
    *c = (struct disk_change){.name = name, .to = hold(to), .number = number};
    list_push_back(&t->changes, &c->all);
    set_now(name, to);
}

static void change_free(struct disk_change *c)
{
    list_remove(&c->all);
    let_go(c->to);
    free(c);
}

static void change_is_safe(struct disk_change *c)
{
    set_safe(c->name, c->to);
    change_free(c);
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

/* A path taken apart: the folder, and the last name in it; n 0: the path is the root. */
struct tree_place {
    struct disk_node *folder;
    const char *last;
    size_t n;
};

static const char *skip_slashes(const char *p)
{
    while (*p == '/') p++;
    return p;
}

static const char *from_root(const struct disk_tree *t, const char *path)
{
    size_t n = t->here_n;
    bool is_here = n && !strncmp(path, t->here, n) && (path[n] == '/' || path[n] == 0);
    return skip_slashes(is_here ? path + n : path);
}

static int resolve(const struct disk_tree *t, const char *path, struct tree_place *out)
{
    if (!*path) return -ENOENT;
    if (strnlen(path, PATH_MAX) == PATH_MAX) return -ENAMETOOLONG;
    struct tree_place at = {.folder = t->root};
    for (const char *p = from_root(t, path); *p; p = skip_slashes(p)) {
        size_t n = strcspn(p, "/");
        if (n > NAME_MAX) return -ENAMETOOLONG;
        if (at.n) {
            const struct disk_name *name = find_name(t, at.folder, at.last, at.n);
            if (!name || !name->now) return -ENOENT;
            if (!name->now->is_folder) return -ENOTDIR;
            at.folder = name->now;
            at.n = 0;
        }
        if (!(n == 1 && *p == '.')) {
            at.last = p;
            at.n = n;
        }
        p += n;
    }
    *out = at;
    return 0;
}

static struct disk_node *node_at(const struct disk_tree *t, const struct tree_place *at)
{
    if (!at->n) return at->folder;
    const struct disk_name *name = find_name(t, at->folder, at->last, at->n);
    return name ? name->now : NULL;
}

struct disk_node *disk_tree_find(const struct disk_tree *t, const char *path)
{
    struct tree_place at;
    return resolve(t, path, &at) == 0 ? node_at(t, &at) : NULL;
}

/* --- what programs do --------------------------------------------------------------------------------------------- */

static int may_open(const struct disk_node *n, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (n->is_folder) return writes || flags & O_CREAT ? -EISDIR : 0;
    return flags & O_DIRECTORY ? -ENOTDIR : 0;
}

int disk_tree_open(struct disk_tree *t, const char *path, int flags, struct disk_node **out)
{
    struct tree_place at;
    int err = resolve(t, path, &at);
    if (err) return err;
    struct disk_node *n = node_at(t, &at);
    if (n) {
        err = may_open(n, flags);
        if (err) return err;
        if (flags & O_TRUNC) disk_node_truncate(n, 0);
    } else {
        if (!(flags & O_CREAT)) return -ENOENT;
        if (flags & O_DIRECTORY) return -EINVAL;
        n = node_new(t, false);
        change(t, get_name(t, at.folder, at.last, at.n), n, ++t->change_numbers);
    }
    n->shown++;
    *out = hold(n);
    return 0;
}

static int may_replace(const struct disk_node *from, const struct disk_node *to)
{
    if (!to) return 0;
    if (from->is_folder) return to->is_folder ? -ENOTEMPTY : -ENOTDIR;
    return to->is_folder ? -EISDIR : 0;
}

int disk_tree_rename(struct disk_tree *t, const char *from, const char *to)
{
    struct tree_place a, b;
    int err = resolve(t, from, &a);
    if (!err) err = resolve(t, to, &b);
    if (err) return err;
    if (!a.n || !b.n) return -EBUSY; /* the root */
    struct disk_node *n = node_at(t, &a), *there = node_at(t, &b);
    if (!n) return -ENOENT;
    if (n == there) return 0;
    err = may_replace(n, there);
    if (err) return err;
    uint32_t number = ++t->change_numbers;
    change(t, get_name(t, b.folder, b.last, b.n), n, number);
    change(t, get_name(t, a.folder, a.last, a.n), NULL, number);
    return 0;
}

int disk_tree_unlink(struct disk_tree *t, const char *path)
{
    struct tree_place at;
    int err = resolve(t, path, &at);
    if (err) return err;
    const struct disk_node *n = node_at(t, &at);
    if (!n) return -ENOENT;
    if (n->is_folder) return -EISDIR;
    change(t, get_name(t, at.folder, at.last, at.n), NULL, ++t->change_numbers);
    return 0;
}

int disk_tree_mkdir(struct disk_tree *t, const char *path)
{
    struct tree_place at;
    int err = resolve(t, path, &at);
    if (err) return err;
    if (node_at(t, &at)) return -EEXIST;
    change(t, get_name(t, at.folder, at.last, at.n), node_new(t, true), ++t->change_numbers);
    return 0;
}

/* --- safety ------------------------------------------------------------------------------------------------------- */

/* c is of that folder, or the new name of what a rename took from it: no file system loses both. */
static bool concerns(const struct disk_tree *t, const struct disk_change *c, const struct disk_node *folder)
{
    if (c->name->folder == folder) return true;
    if (c->all.next == &t->changes) return false;
    const struct disk_change *next = list_entry(c->all.next, struct disk_change, all);
    return next->number == c->number && next->name->folder == folder;
}

void disk_tree_sync(struct disk_tree *t, const struct disk_node *folder)
{
    list_for_each_safe(it, &t->changes)
    {
        struct disk_change *c = list_entry(it, struct disk_change, all);
        if (concerns(t, c, folder)) change_is_safe(c);
    }
}

void disk_tree_sync_all(struct disk_tree *t)
{
    list_for_each_safe(it, &t->changes) change_is_safe(list_entry(it, struct disk_change, all));
}

static void keep_any(struct disk_tree *t, struct rng *r, struct disk_crash *how)
{
    uint32_t number = 0;
    bool keeps = false;
    list_for_each_safe(it, &t->changes)
    {
        struct disk_change *c = list_entry(it, struct disk_change, all);
        if (c->number != number) keeps = rng_below(r, 2);
        number = c->number;
        how->names_lost += !keeps;
        if (keeps) change_is_safe(c);
        else change_free(c);
    }
}

static void keep_first(struct disk_tree *t, struct rng *r, struct disk_crash *how)
{
    uint32_t first = t->change_numbers + 1;
    list_for_each(it, &t->changes)
    {
        uint32_t number = list_entry(it, struct disk_change, all)->number;
        if (number < first) first = number;
    }
    uint32_t end = first + (uint32_t)rng_below(r, t->change_numbers - first + 2);
    list_for_each_safe(it, &t->changes)
    {
        struct disk_change *c = list_entry(it, struct disk_change, all);
        how->names_lost += c->number >= end;
        if (c->number < end) change_is_safe(c);
        else change_free(c);
    }
}

void disk_tree_crash(struct disk_tree *t, struct rng *r, struct disk_crash *how)
{
    if (how->any_names) keep_any(t, r, how);
    else keep_first(t, r, how);
    list_for_each(it, &t->names)
    {
        struct disk_name *name = list_entry(it, struct disk_name, all);
        set_now(name, name->safe);
    }
    list_for_each(it, &t->nodes) disk_node_crash(list_entry(it, struct disk_node, all), r, how);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

static void visit_folder(const struct disk_tree *t, const struct disk_node *folder, const char *prefix,
                         void (*fn)(void *arg, const char *path), void *arg)
{
    char path[PATH_MAX];
    size_t before = strlen(prefix);
    list_for_each(it, &t->names)
    {
        const struct disk_name *name = list_entry(it, struct disk_name, all);
        size_t n = strlen(name->text);
        if (name->folder != folder || !name->now || before + n + 2 > sizeof path) continue;
        memcpy(path, prefix, before);
        memcpy(path + before, name->text, n + 1);
        fn(arg, path);
        if (!name->now->is_folder) continue;
        memcpy(path + before + n, "/", 2);
        visit_folder(t, name->now, path, fn, arg);
    }
}

void disk_tree_visit(const struct disk_tree *t, void (*fn)(void *arg, const char *path), void *arg)
{
    visit_folder(t, t->root, "", fn, arg);
}

uint64_t disk_tree_bytes(const struct disk_tree *t)
{
    uint64_t sum = 0;
    list_for_each(it, &t->nodes)
    {
        const struct disk_node *n = list_entry(it, struct disk_node, all);
        if (n->shown) sum += n->now_size;
    }
    return sum;
}

const struct disk_node *disk_tree_any(const struct disk_tree *t, struct rng *r)
{
    const struct disk_node *found = NULL;
    uint64_t count = 0;
    list_for_each(it, &t->nodes)
    {
        const struct disk_node *n = list_entry(it, struct disk_node, all);
        if (n->now_size && rng_below(r, ++count) == 0) found = n;
    }
    return found;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void disk_tree_init(struct disk_tree *t)
{
    *t = (struct disk_tree){0};
    list_init(&t->nodes);
    list_init(&t->names);
    list_init(&t->changes);
    t->root = hold(node_new(t, true));
    t->root->shown = 1;
    if (getcwd(t->here, sizeof t->here)) t->here_n = strlen(t->here);
    if (t->here_n == 1) t->here_n = 0; /* it is "/" */
}

void disk_tree_fini(struct disk_tree *t)
{
    list_for_each_safe(it, &t->changes) free(list_entry(it, struct disk_change, all));
    list_for_each_safe(it, &t->names) free(list_entry(it, struct disk_name, all));
    list_for_each_safe(it, &t->nodes) disk_node_free(list_entry(it, struct disk_node, all));
}
