/* SPDX-License-Identifier: MIT
 *
 * See request.h.
 */
#include "demi/examples/http/request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define HEADERS_MAX 100

static int hex(int c) { return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1; }

/* Percent signs and the query away, in place. A zero byte, or a sign that is none: 0. */
static int path_decode(char *path)
{
    char *to = path;
    for (const char *from = path; *from && *from != '?' && *from != '#'; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '%') {
            int high = hex((unsigned char)from[1]), low = high < 0 ? -1 : hex((unsigned char)from[2]);
            if (low < 0 || high + low == 0) return 0;
            c = (unsigned char)(high * 16 + low);
            from += 2;
        }
        *to++ = (char)c;
    }
    *to = 0;
    return 1;
}

/* /a/./b//../c is /a/c; what would lead above the top is refused (RFC 3986, 5.2.4). */
static int path_clean(char *path)
{
    char *to = path;
    if (*path != '/') return 0;
    for (char *from = path; *from;) {
        size_t slashes = strspn(from, "/"), size = strcspn(from + slashes, "/");
        char *name = from + slashes;
        from = name + size;
        if (size == 1 && name[0] == '.') continue;
        if (size == 2 && name[0] == '.' && name[1] == '.') {
            if (to == path) return 0;
            while (*--to != '/') {
            }
            continue;
        }
        if (size == 0) break; /* one that ends with / is a folder's */
        *to++ = '/';
        memmove(to, name, size);
        to += size;
    }
    /* The slash at its end says something: it is kept. */
    if (to == path || path[strlen(path) - 1] == '/') *to++ = '/';
    *to = 0;
    return 1;
}

/* The next line, cut off at its CR LF; NULL: there is none. */
static char *next_line(char **at)
{
    char *line = *at, *end = line ? strchr(line, '\n') : NULL;
    if (!line) return NULL;
    *at = end ? end + 1 : NULL;
    if (!end) end = line + strlen(line);
    if (end > line && end[-1] == '\r') end--;
    *end = 0;
    return line;
}

static int has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t n = strcspn(at, ",");
        while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t')) n--;
        if (n == size && strncasecmp(at, word, n) == 0) return 1;
        at += strcspn(at, ",");
    }
    return 0;
}

static int is_token(const char *name)
{
    if (!*name) return 0;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name)) return 0;
    return 1;
}

static int start_line(struct request *out, char *line)
{
    char *path = strchr(line, ' '), *version = path ? strchr(path + 1, ' ') : NULL;
    if (!version || strchr(version + 1, ' ')) return 400;
    *path++ = 0;
    *version++ = 0;
    if (!is_token(line)) return 400;
    if (strncmp(version, "HTTP/", 5) != 0) return 400;
    if (strncmp(version, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)version[7]) || version[8]) return 505;
    if (strncasecmp(path, "http://", 7) == 0) path += 7 + strcspn(path + 7, "/"); /* as to a proxy: 9112, 3.2.2 */
    if (!path_decode(path) || !path_clean(path)) return 400;
    out->method = line;
    out->path = path;
    out->minor = version[7] - '0';
    return 0;
}

int request_parse(struct request *out, char *text)
{
    int hosts = 0, headers = 0, status;
    char *line;
    memset(out, 0, sizeof *out);
    status = start_line(out, next_line(&text));
    if (status) return status;
    out->is_kept = out->minor >= 1;
    while ((line = next_line(&text)) && *line) {
        char *value = strchr(line, ':');
        if (++headers > HEADERS_MAX) return 431;
        if (!value || isspace((unsigned char)*line)) return 400; /* no folded lines: 9112, 5.2 */
        *value++ = 0;
        if (!is_token(line)) return 400; /* nor a space before the colon: 5.1 */
        value += strspn(value, " \t");
        for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--) value[n - 1] = 0;
        if (strcasecmp(line, "host") == 0) hosts++;
        else if (strcasecmp(line, "range") == 0) out->range = value;
        else if (strcasecmp(line, "if-range") == 0) out->if_range = value;
        else if (strcasecmp(line, "if-none-match") == 0) out->if_none_match = value;
        else if (strcasecmp(line, "if-modified-since") == 0) out->if_modified_since = value;
        else if (strcasecmp(line, "transfer-encoding") == 0) return 501; /* nobody sends a file a body */
        else if (strcasecmp(line, "content-length") == 0 && strcmp(value, "0") != 0) return 413;
        else if (strcasecmp(line, "connection") == 0)
            out->is_kept = has_word(value, "close") ? 0 : has_word(value, "keep-alive") ? 1 : out->is_kept;
    }
    return hosts == 1 || (hosts == 0 && out->minor == 0) ? 0 : 400;
}

/* --- dates -------------------------------------------------------------------------------------------------------- */

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec", days[] = "ThuFriSatSunMonTueWed";

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

int64_t http_date(const char *text)
{
    char name[4];
    int day, year, hour, minute, second, end = 0;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, name, &year, &hour, &minute, &second,
               &end) != 6 ||
        !end || text[end])
        return -1;
    const char *month = strstr(months, name);
    if (strlen(name) != 3 || !month || (month - months) % 3 || day < 1 || day > 31 || year < 1970 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    return days_of(year, (int)(month - months) / 3 + 1, day) * 86400 + hour * 3600 + minute * 60 + second;
}

void http_date_write(char out[30], int64_t time)
{
    time_t t = time >= 0 && time < 253402300800 ? (time_t)time : 0; /* to the end of the year 9999 */
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 30, "ddd, %d mmm %Y %H:%M:%S GMT", &tm); /* not %a and %b, which are the locale's */
    memcpy(out, days + 3 * ((tm.tm_wday + 3) % 7), 3);
    memcpy(out + 8, months + 3 * tm.tm_mon, 3);
}

/* --- ranges and tags ---------------------------------------------------------------------------------------------- */

static int digits(const char **at, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**at)) return 0;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

int range_parse(const char *range, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t n;
    if (!range || strncasecmp(range, "bytes=", 6) != 0 || strchr(range, ',')) return 0;
    range += 6 + strspn(range + 6, " ");
    if (*range == '-') { /* the last n bytes */
        range++;
        if (!digits(&range, &n) || *range) return 0;
        if (n == 0 || size == 0) return -1;
        *first = n < size ? size - n : 0;
        *last = size - 1;
        return 1;
    }
    if (!digits(&range, first) || *range++ != '-') return 0;
    *last = UINT64_MAX;
    if (*range && (!digits(&range, last) || *range || *last < *first)) return 0;
    if (*first >= size) return -1;
    if (*last >= size) *last = size - 1;
    return 1;
}

int etag_matches(const char *list, const char *etag)
{
    if (strcmp(list, "*") == 0) return 1;
    for (const char *at = list; (at = strchr(at, '"'));) {
        const char *end = strchr(at + 1, '"');
        if (!end) return 0;
        if ((size_t)(end + 1 - at) == strlen(etag) && strncmp(at, etag, (size_t)(end + 1 - at)) == 0) return 1;
        at = end + 1;
    }
    return 0;
}
