/* SPDX-License-Identifier: MIT
 *
 * redis-server reads the same lists, and says nothing of one that it does not understand: it then runs anywhere.
 */
#include "server/conf/cpu_list.h"

#include <ctype.h>
#include <stdio.h>

/* Digits and nothing else; no set has as many CPUs as four of them say. */
static bool take_number(const char **p, unsigned *out)
{
    unsigned n = 0, digits = 0;
    for (; isdigit((unsigned char)**p); (*p)++) {
        if (++digits > 4) return false;
        n = n * 10 + (unsigned)(**p - '0');
    }
    *out = n;
    return digits > 0;
}

static bool take_mark(const char **p, char mark)
{
    if (**p != mark) return false;
    (*p)++;
    return true;
}

bool cpu_list_parse(const char *text, cpu_set_t *out)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    do {
        unsigned first, last, step = 1;
        if (!take_number(&text, &first)) return false;
        last = first;
        if (take_mark(&text, '-')) {
            if (!take_number(&text, &last)) return false;
            if (take_mark(&text, ':') && (!take_number(&text, &step) || step == 0)) return false;
        }
        if (first > last || last >= CPU_SETSIZE) return false;
        for (unsigned cpu = first; cpu <= last; cpu += step) CPU_SET(cpu, &set);
    } while (take_mark(&text, ','));
    if (*text) return false;
    *out = set;
    return true;
}

void cpu_list_format(char *out, size_t size, const cpu_set_t *set)
{
    size_t n = 0;
    out[0] = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < size; cpu++) {
        if (!CPU_ISSET(cpu, set)) continue;
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set)) last++;
        int k = snprintf(out + n, size - n, last > cpu ? "%s%d-%d" : "%s%d", n ? "," : "", cpu, last);
        n += (size_t)k;
        cpu = last;
    }
}
