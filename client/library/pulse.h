/* Whether the broker at the other end of a connection still lives. A connection can die without a word: then TCP takes what is
 * written for very long, and what is awaited never comes. So the silence of a broker that owes something is looked at from
 * time to time: the first look that finds it asks for a sign of life (a ping), some later one gives up. */
#ifndef HATO_LIBRARY_PULSE_H
#define HATO_LIBRARY_PULSE_H

#include "library/client.h"

struct pulse {
    struct hato_client *client; /* NULL before pulse_begin */
    uv_tcp_t *tcp;
    uint64_t look_at; /* when to look next, as client_now */
    unsigned silent;  /* looks in a row that found the broker so */
    bool heard;       /* something came since the last look */
    bool owed;        /* something was written and nothing came since */
    bool pinging;     /* a ping is being written */
    size_t unwritten; /* bytes that waited to be written at the last look */
    uv_write_t ping;
    struct buffer ping_bytes;
};

/* For a connection whose greeting is over. `tcp` must last as long as the pulse, which must last until `tcp` is closed. */
void pulse_begin(struct pulse *p, struct hato_client *c, uv_tcp_t *tcp);

/* Something came; something was written. */
void pulse_heard(struct pulse *p);
void pulse_asked(struct pulse *p);

/* To be called when client_arm's time has come; lowers `*earliest` to the next. Errors: ERR_IO, the broker was silent too long. */
int pulse_look(struct pulse *p, uint64_t now, uint64_t *earliest, struct error *e);

void pulse_close(struct pulse *p);

#endif
