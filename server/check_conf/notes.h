/* SPDX-License-Identifier: MIT
 *
 * What is known of options beyond the server's table: those without an effect here, those that mean something else
 * than in Redis 7.2.4, and the names of other versions.
 */
#ifndef SERVER_CHECK_CONF_NOTES_H
#define SERVER_CHECK_CONF_NOTES_H

#include "server/check_conf/verdict.h"

/* option: the name of the table, not an alias; value: as CONFIG GET shows it. Several may hold; the first does. */
struct option_note {
    const char *option; /* "cluster-*": all that begin so */
    const char *value;  /* NULL: any; "!x": any but x */
    enum verdict_kind kind;
    const char *says, *advice;
};
/* NULL: the same as in Redis 7.2.4. */
const struct option_note *option_note_find(struct bytes option, struct bytes value);

/* A name that some version of Redis or Valkey knows and this server does not. */
struct foreign_option {
    const char *name;
    const char *of;     /* "Valkey 8.0" */
    const char *advice; /* what to do with the line */
};
const struct foreign_option *foreign_option_find(struct bytes name);

/* The known name that is the fewest letters away, when that is few; NULL: none is near. */
const char *option_nearest(struct bytes name);

/* For the unit test: that each note is about an option there is. */
extern const struct option_note option_notes[];
extern const unsigned option_note_count;
extern const struct foreign_option foreign_options[];
extern const unsigned foreign_option_count;

#endif
