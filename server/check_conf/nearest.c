/* SPDX-License-Identifier: MIT
 *
 * What somebody may have meant: the name with the least distance (letters put in, left out, replaced or swapped), if
 * that is at most a third of the name. '_' for '-' counts as nothing.
 */
#include "server/check_conf/notes.h"
#include "server/conf/option.h"

enum { NAME_BYTES_MAX = 48 };

static const char *const directives[] = {"include", "rename-command", "user"};

static char folded(char c)
{
    if (c >= 'A' && c <= 'Z') return (char)(c | 0x20);
    return c == '_' ? '-' : c;
}

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Damerau's distance, of neighbours swapped once; rows of the table are kept as far as they are looked at. */
static unsigned distance(struct bytes a, struct bytes b)
{
    unsigned rows[3][NAME_BYTES_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++) rows[0][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            char x = folded(a.p[i - 1]), y = folded(b.p[j - 1]);
            now[j] = least(last[j - 1] + (x != y), least(last[j], now[j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && x == folded(b.p[j - 2]) && folded(a.p[i - 2]) == y;
            if (swapped) now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return rows[a.n % 3][b.n];
}

static void closer(struct bytes name, const char *known, unsigned *best, const char **found)
{
    struct bytes k = bytes_of_str(known);
    size_t apart = k.n > name.n ? k.n - name.n : name.n - k.n;
    if (k.n > NAME_BYTES_MAX || apart >= *best) return; /* the distance is at least that */
    unsigned d = distance(name, k);
    if (d >= *best) return;
    *best = d;
    *found = known;
}

const char *option_nearest(struct bytes name)
{
    const char *found = NULL;
    if (!name.n || name.n > NAME_BYTES_MAX) return NULL;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~') return NULL; /* nobody's spelling: bytes of something else */
    unsigned best = (unsigned)name.n / 3 + 1;
    for (unsigned i = 0; i < conf_option_count; i++) {
        closer(name, conf_options[i].name, &best, &found);
        if (conf_options[i].alias) closer(name, conf_options[i].alias, &best, &found);
    }
    for (unsigned i = 0; i < sizeof directives / sizeof *directives; i++) closer(name, directives[i], &best, &found);
    return found;
}
