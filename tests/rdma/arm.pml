/* SPDX-License-Identifier: MIT
 *
 * Going to sleep on a completion queue (libos/verbs/poll.c): the device appends completions and, where a notification
 * has been asked for, makes the channel readable and forgets the asking. The thread may sleep only when whatever comes
 * will wake it.
 *
 *     arm.py runs this twice: as it is, where no state has the thread asleep with a completion in the queue and
 *     nothing to wake it; and with -DLOOK_FIRST, the order in which a completion slips between look and asking, where
 *     Spin must find just that.
 */
#define COMPLETIONS 4

byte queued;     /* completions in the queue */
byte stashed;    /* found by arm(), kept for the next poll */
byte readable;   /* events in the channel */
bool armed;      /* a notification has been asked for */
byte taken;      /* completions that the thread has had */
bool asleep;

active proctype device()
{
    byte sent = 0;
    do
    :: sent < COMPLETIONS ->
        atomic {
            queued++;
            sent++;
            if
            :: armed -> armed = false; readable++
            :: else
            fi
        }
    :: sent == COMPLETIONS -> break
    od
}

active proctype library()
{
    bool has_armed = false;
    do
    :: taken == COMPLETIONS -> break
    :: else ->
        /* poll(): the stash, then the queue */
        taken = taken + stashed;
        stashed = 0;
        atomic { taken = taken + queued; queued = 0 };
        if
        :: taken == COMPLETIONS -> break
        :: else
        fi;
        /* arm() */
        if
        :: has_armed ->
            if
            :: atomic { readable > 0 -> readable-- }
            :: readable == 0
            fi
        :: else
        fi;
#ifdef LOOK_FIRST
        atomic { stashed = queued; queued = 0 };
        armed = true;
#else
        armed = true;
        atomic { stashed = queued; queued = 0 };
#endif
        has_armed = true;
        if
        :: stashed > 0 /* -EAGAIN: no sleep */
        :: stashed == 0 ->
            asleep = true;
            readable > 0; /* level-triggered: whatever is in the channel */
            asleep = false
        fi
    od
}

/* Of a thread that sleeps over a completion; that it may be woken by a later one does not help who waits for this. */
active proctype watch()
{
    atomic { asleep && queued > 0 && readable == 0 -> assert(false) }
}
