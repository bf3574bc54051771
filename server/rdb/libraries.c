/* SPDX-License-Identifier: MIT
 *
 * A list in the order in which they came, and an index of all functions, sorted by name. The first line is read as
 * Redis reads it, because a library's name stands nowhere else.
 */
#include "server/rdb/libraries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "server/conf/text.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"

#define SHOWN_MAX   128 /* bytes of a word in an error */
#define FOOTER_SIZE 10  /* of a dump: the version, the checksum */

struct function_index {
    struct bytes name;
    void *what;
    const struct library *library;
};

static int say(char *err, size_t size, int error, const char *format, struct bytes word)
{
    snprintf(err, size, format, (int)(word.n < SHOWN_MAX ? word.n : SHOWN_MAX), word.p ? word.p : "");
    return error;
}

static int tell(char *err, size_t size, int error, const char *text)
{
    snprintf(err, size, "%s", text);
    return error;
}

/* --- the first line ----------------------------------------------------------------------------------------------- */

static bool library_name_is_good(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 32);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_') return false;
    }
    return s.n > 0;
}

static bool begins(struct bytes s, const char *with)
{
    return s.n >= strlen(with) && strncasecmp(s.p, with, strlen(with)) == 0;
}

/* The words of "#!engine name=library": the name, and nothing else behind the engine. */
static int read_words(const struct conf_args *words, struct bytes *name, char *err, size_t size)
{
    name->p = NULL;
    for (int i = 1; i < words->argc; i++) {
        struct bytes word = words->argv[i];
        if (!begins(word, "name=")) return say(err, size, -EBADMSG, "Invalid metadata value given: %.*s", word);
        if (name->p) return tell(err, size, -EBADMSG, "Invalid metadata value, name argument was given multiple times");
        *name = bytes_of(word.p + 5, word.n - 5);
    }
    if (!name->p) return tell(err, size, -EBADMSG, "Library name was not given");
    if (!library_name_is_good(*name))
        return tell(err, size, -EBADMSG,
                    "Library names can only contain letters, numbers, or underscores(_) and must be at least one "
                    "character long");
    struct bytes engine = bytes_of(words->argv[0].p + 2, words->argv[0].n - 2);
    if (engine.n != 3 || !begins(engine, "lua")) return say(err, size, -EBADMSG, "Engine '%.*s' not found", engine);
    return 0;
}

/* *name is the caller's (mem_free); *program is what follows the first line, with its newline: lines keep their
 * numbers. */
static int read_first_line(struct bytes code, char **name, struct bytes *program, char *err, size_t size)
{
    struct conf_args words;
    struct bytes found;
    if (code.n < 2 || memcmp(code.p, "#!", 2) != 0) return tell(err, size, -EBADMSG, "Missing library metadata");
    const char *end = memchr(code.p, '\n', code.n);
    if (!end || memchr(code.p, 0, (size_t)(end - code.p)) ||
        conf_split(bytes_of(code.p, (size_t)(end - code.p)), &words))
        return tell(err, size, -EBADMSG, "Invalid library metadata");
    int error = read_words(&words, &found, err, size);
    if (!error) {
        *name = mem_alloc(found.n + 1);
        memcpy(*name, found.p, found.n);
        (*name)[found.n] = 0;
        *program = bytes_of(end, code.n - (size_t)(end - code.p));
    }
    conf_args_free(&words);
    return error;
}

/* --- the index ---------------------------------------------------------------------------------------------------- */

/* Names of functions are looked up in any case. */
static int compare_names(struct bytes a, struct bytes b)
{
    int way = strncasecmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return way ? way : (a.n > b.n) - (a.n < b.n);
}

/* Of two in one library that differ in case only, the same one is found always. */
static int by_name(const void *one, const void *other)
{
    const struct function_index *a = one, *b = other;
    int way = compare_names(a->name, b->name);
    return way ? way : bytes_compare(a->name, b->name);
}

/* The first whose name is not before this one. */
static unsigned index_at(const struct libraries *l, struct bytes name)
{
    unsigned low = 0, high = l->function_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (compare_names(l->index[middle].name, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const struct function_index *index_find(const struct libraries *l, struct bytes name)
{
    unsigned i = index_at(l, name);
    return i < l->function_count && compare_names(l->index[i].name, name) == 0 ? &l->index[i] : NULL;
}

void *libraries_function(const struct libraries *l, struct bytes name)
{
    const struct function_index *found = index_find(l, name);
    return found ? found->what : NULL;
}

static void index_remove(struct libraries *l, const struct library *library)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < l->function_count; i++)
        if (l->index[i].library != library) l->index[kept++] = l->index[i];
    l->function_count = kept;
}

/* From behind, so that each entry moves once. */
static void index_add(struct libraries *l, const struct library *library)
{
    unsigned n = library->function_count, old = l->function_count;
    if (!n) return;
    struct function_index *new = mem_alloc(n * sizeof *new);
    for (unsigned i = 0; i < n; i++)
        new[i] = (struct function_index){library->functions[i].name, library->functions[i].what, library};
    qsort(new, n, sizeof *new, by_name);
    l->index = mem_realloc(l->index, (old + n) * sizeof *l->index);
    for (unsigned to = old + n; n;)
        l->index[--to] = old && by_name(&l->index[old - 1], &new[n - 1]) > 0 ? l->index[--old] : new[--n];
    l->function_count += library->function_count;
    mem_free(new);
}

/* --- one library -------------------------------------------------------------------------------------------------- */

static void library_free(const struct libraries *l, struct library *library)
{
    for (unsigned i = 0; i < library->function_count; i++) l->ops->drop(l->who, library->functions[i].what);
    mem_free(library->functions);
    mem_free((char *)library->code.p);
    mem_free(library->name);
    mem_free(library);
}

/* Its place in the list, or where the next one comes. */
static unsigned place_of(const struct libraries *l, const char *name)
{
    unsigned i = 0;
    while (i < l->count && strcmp(l->all[i]->name, name) != 0) i++;
    return i;
}

static void link_at(struct libraries *l, unsigned at, struct library *library)
{
    if (at == l->count) {
        l->all = mem_realloc(l->all, (l->count + 1) * sizeof(struct library *));
        l->count++;
    } else {
        l->bytes -= l->all[at]->code.n;
        index_remove(l, l->all[at]);
        library_free(l, l->all[at]);
    }
    l->all[at] = library;
    l->bytes += library->code.n;
    index_add(l, library);
}

void libraries_clear(struct libraries *l)
{
    for (unsigned i = 0; i < l->count; i++) library_free(l, l->all[i]);
    mem_free(l->all);
    mem_free(l->index);
    *l = (struct libraries){.ops = l->ops, .who = l->who};
}

bool libraries_delete(struct libraries *l, struct bytes name)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct library *library = l->all[i];
        if (!bytes_equal(bytes_of_str(library->name), name)) continue;
        index_remove(l, library);
        l->bytes -= library->code.n;
        memmove(&l->all[i], &l->all[i + 1], (l->count - i - 1) * sizeof(struct library *));
        l->count--;
        library_free(l, library);
        return true;
    }
    return false;
}

/* Names of its functions that another library has; `replaced` is on its way out. */
static int check_names(const struct libraries *l, const struct library *library, const struct library *replaced,
                       char *err, size_t size)
{
    for (unsigned i = 0; i < library->function_count; i++) {
        const struct function_index *other = index_find(l, library->functions[i].name);
        if (other && other->library != replaced)
            return say(err, size, -EEXIST, "Function %.*s already exists", library->functions[i].name);
    }
    return 0;
}

static int run_program(const struct libraries *l, struct library *library, struct bytes program, bool limited,
                       char *err, size_t size)
{
    if (!l->ops) return 0;
    if (!l->ops->load(l->who, library, program, limited, err, size)) return -EBADMSG;
    return library->function_count ? 0 : tell(err, size, -EBADMSG, "No functions registered");
}

int libraries_load(struct libraries *l, struct bytes code, bool replace, bool limited, struct library **added,
                   char *err, size_t size)
{
    char *name;
    struct bytes program;
    int error = read_first_line(code, &name, &program, err, size);
    if (error) return error;
    unsigned at = place_of(l, name);
    struct library *old = at < l->count ? l->all[at] : NULL;
    if (old && !replace) {
        error = say(err, size, -EEXIST, "Library '%.*s' already exists", bytes_of_str(name));
        mem_free(name);
        return error;
    }
    size_t kept = l->bytes - (old ? old->code.n : 0);
    if (code.n > LIBRARIES_SIZE_MAX - kept || at == LIBRARIES_MAX) {
        mem_free(name);
        return tell(err, size, -EBADMSG, "more libraries of functions than are kept here");
    }
    struct library *library = mem_calloc(sizeof *library);
    char *copy = mem_alloc(code.n);
    memcpy(copy, code.p, code.n);
    library->code = bytes_of(copy, code.n);
    library->name = name;
    program.p = copy + (program.p - code.p);
    error = run_program(l, library, program, limited, err, size);
    if (!error) error = check_names(l, library, old, err, size);
    if (error) {
        library_free(l, library);
        return error;
    }
    link_at(l, at, library);
    if (added) *added = library;
    return 0;
}

bool libraries_add(struct libraries *l, struct rdb_source *s, struct bytes code, bool replace)
{
    char err[LIBRARIES_ERROR_SIZE];
    int error = libraries_load(l, code, replace, false, NULL, err, sizeof err);
    return error == 0 || rdb_source_failf(s, error, "a library of functions: %.200s", err);
}

/* --- many at once ------------------------------------------------------------------------------------------------- */

int libraries_join(struct libraries *l, struct libraries *from, bool replace, char *err, size_t size)
{
    size_t bytes = l->bytes + from->bytes;
    unsigned count = l->count + from->count;
    for (unsigned i = 0; i < from->count; i++) {
        unsigned at = place_of(l, from->all[i]->name);
        if (at == l->count) continue;
        if (!replace) return say(err, size, -EEXIST, "Library %.*s already exists", bytes_of_str(from->all[i]->name));
        bytes -= l->all[at]->code.n;
        count--;
    }
    for (unsigned i = 0; i < from->function_count; i++) {
        const struct function_index *other = index_find(l, from->index[i].name);
        if (other && place_of(from, other->library->name) == from->count)
            return say(err, size, -EEXIST, "Function %.*s already exists", from->index[i].name);
    }
    if (count > LIBRARIES_MAX || bytes > LIBRARIES_SIZE_MAX)
        return tell(err, size, -EBADMSG, "more libraries of functions than are kept here");
    /* A function may move from one library to another: all that goes is gone before anything comes. */
    for (unsigned i = 0; i < from->count; i++) libraries_delete(l, bytes_of_str(from->all[i]->name));
    for (unsigned i = 0; i < from->count; i++) link_at(l, l->count, from->all[i]);
    from->count = 0;
    libraries_clear(from);
    return 0;
}

/* --- as bytes ----------------------------------------------------------------------------------------------------- */

void libraries_write(const struct libraries *l, struct rdb_sink *s)
{
    for (unsigned i = 0; i < l->count; i++) {
        rdb_put_byte(s, RDB_OP_FUNCTION2);
        rdb_put_string(s, l->all[i]->code);
    }
}

void libraries_dump(const struct libraries *l, struct rdb_sink *s)
{
    char version[2];
    libraries_write(l, s);
    store_u16(version, (uint16_t)s->version);
    rdb_put_raw(s, version, sizeof version);
    rdb_put_u64(s, rdb_sink_crc(s));
}

static int read_next(struct libraries *l, struct rdb_source *s, bool limited, char *err, size_t size)
{
    unsigned char kind;
    struct bytes code;
    if (!rdb_get_byte(s, &kind)) return tell(err, size, -EBADMSG, "can not read data type");
    if (kind == RDB_OP_FUNCTION) return tell(err, size, -EBADMSG, "Pre-GA function format not supported");
    if (kind != RDB_OP_FUNCTION2) return tell(err, size, -EBADMSG, "given type is not a function");
    if (!rdb_get_string(s, RDB_VIEW, &code)) return tell(err, size, -EBADMSG, "Failed loading library code");
    return libraries_load(l, code, false, limited, NULL, err, size);
}

int libraries_read_dump(struct libraries *l, struct bytes payload, bool unchecked, bool limited, char *err, size_t size)
{
    tell(err, size, 0, "DUMP payload version or checksum are wrong");
    if (payload.n < FOOTER_SIZE) return -EPROTO;
    const char *footer = payload.p + payload.n - FOOTER_SIZE;
    if (load_u16(footer) > RDB_VERSION) return -EPROTO;
    if (!unchecked && crc64(0, payload.p, payload.n - 8) != load_u64(footer + 2)) return -EPROTO;
    struct rdb_source s;
    int error = 0;
    rdb_source_of_bytes(&s, bytes_of(payload.p, payload.n - FOOTER_SIZE));
    while (!error && rdb_source_at_hand(&s)) error = read_next(l, &s, limited, err, size);
    rdb_source_fini(&s);
    if (error) libraries_clear(l);
    return error;
}

size_t libraries_memory(const struct libraries *l)
{
    size_t n = l->bytes + l->count * (sizeof(struct library) + sizeof(struct library *));
    return n + l->function_count * (sizeof *l->index + sizeof(struct library_function));
}
