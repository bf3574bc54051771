/* SPDX-License-Identifier: MIT
 *
 * libos/shm's ring and how its two ends sleep, as a model: one writer, one reader, a ring of LINES lines of which one
 * stays unused, records of one line; lines ahead are cleared whenever the writer likes. Checked: every record arrives once and in order, nothing stale is taken for a
 * record, the writer never overruns the reader, and nobody sleeps for ever while there is something to do for him (an
 * invalid end state: spin finds it by itself).
 *
 * What a weakly ordered machine may do is in it where it matters: a process's writes to shared words stand in a buffer
 * (one of the writer's, one of the reader's) until the barrier, or until the machine likes. Without BARRIER (or with
 * NO_ZERO: the writer does not clear the next header; or with CLEAR_ALL: it clears ahead without a look at what has been
 * read) spin has to find the fault: the script asks it to.
 */
#define LINES   4
#define RECORDS 7
#define AHEAD   3

byte header[LINES]; /* number of the record that begins in the line; 0: none */
byte head = 0;      /* lines read, as the writer can see it */
byte asked_data = 0, asked_room = 0; /* `waits` of reader and writer */
chan ring_reader = [2] of { bit };
chan ring_writer = [2] of { bit };

/* The writer's store buffer: its last header. The reader's: its last head. A second store drains the first: x86 keeps
 * the order of stores, and so do the release stores elsewhere. */
byte w_line = 0, w_value = 0;
byte r_head = 0;
bit w_has = 0, r_has = 0;

/* Full: there is a ring to hear already. */
inline send(ring) { if :: nfull(ring) -> ring!1 :: full(ring) -> skip fi }
inline drain_w() { atomic { if :: w_has -> header[w_line] = w_value; w_has = 0 :: else fi } }
inline drain_r() { atomic { if :: r_has -> head = r_head; r_has = 0 :: else fi } }

proctype machine()
{
end:
    do
    :: w_has -> drain_w()
    :: r_has -> drain_r()
    od
}

proctype writer()
{
    byte n = 1, pos = 0, seen = 0, clear = 1;
    bit b;
    do
    :: n > RECORDS -> break
#ifdef CLEAR_ALL
    :: clear < pos + AHEAD ->
#else
    :: clear < pos + AHEAD && clear < seen + LINES ->
#endif
        drain_w(); /* stores keep their order */
        header[clear % LINES] = 0;
        clear++
    :: n <= RECORDS ->
        if
        :: pos - seen < LINES - 1 ->
            /* the bytes and the zero behind come before the header, in order */
            drain_w();
#ifndef NO_ZERO
            if
            :: pos + 1 >= clear -> header[(pos + 1) % LINES] = 0; clear = pos + 2
            :: else
            fi;
#endif
            atomic { w_line = pos % LINES; w_value = n; w_has = 1 }
            pos++; n++;
            /* the flush */
#ifdef BARRIER
            drain_w();
#endif
            if
            :: asked_data -> atomic { if :: asked_data -> asked_data = 0; send(ring_reader) :: else fi }
            :: else
            fi
        :: else ->
            seen = head;
            assert(seen <= pos);
            if
            :: pos - seen < LINES - 1
            :: else -> /* falls asleep */
                drain_w();
                asked_room = 1;
                seen = head;
                if
                :: pos - seen < LINES - 1 -> asked_room = 0
                :: else -> ring_writer?b
                fi
            fi
        fi
    od
}

proctype reader()
{
    byte next = 1, pos = 0, h;
    bit b;
    do
    :: next > RECORDS -> break
    :: else ->
        h = header[pos % LINES];
        if
        :: h ->
            assert(h == next);
            pos++; next++;
            drain_r();
            atomic { r_head = pos; r_has = 1 }
#ifdef BARRIER
            drain_r();
#endif
            if
            :: asked_room -> atomic { if :: asked_room -> asked_room = 0; send(ring_writer) :: else fi }
            :: else
            fi
        :: else -> /* falls asleep */
            drain_r();
            asked_data = 1;
            if
            :: header[pos % LINES] -> asked_data = 0
            :: else -> ring_reader?b
            fi
        fi
    od
}

init { atomic { run machine(); run writer(); run reader() } }
