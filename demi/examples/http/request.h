/* SPDX-License-Identifier: MIT
 *
 * The head of an HTTP request (RFC 9112), as much of it as a server of files needs; its words and ranges (RFC 9110).
 */
#ifndef DEMI_EXAMPLES_HTTP_REQUEST_H
#define DEMI_EXAMPLES_HTTP_REQUEST_H

#include <stddef.h>
#include <stdint.h>

struct request {
    const char *method;
    char *path;  /* decoded, absolute, without . and .. and without the query */
    int minor;   /* of HTTP/1.x */
    int is_kept; /* the connection goes on afterwards */
    const char *range, *if_range, *if_none_match, *if_modified_since; /* NULL: not asked */
};

/* text: the head, with a zero byte in the place of what ends it; it is cut into pieces. 0, or the status to refuse
 * with. */
int request_parse(struct request *out, char *text);

/* The moment of an HTTP date, -1: it is none. And the other way round: 30 bytes. */
int64_t http_date(const char *text);
void http_date_write(char out[30], int64_t time);

/* Of a file of `size` bytes. 1: from *first to *last; 0: all of it (several ranges, another unit, nonsense); -1: none
 * of it is there (416). */
int range_parse(const char *range, uint64_t size, uint64_t *first, uint64_t *last);

/* Whether a list of entity tags (If-None-Match) has this one, or is *. */
int etag_matches(const char *list, const char *etag);

#endif
