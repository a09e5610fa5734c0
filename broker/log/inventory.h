/* At a start: which segment files there are, and which of them hold records. */
#ifndef HATO_LOG_INVENTORY_H
#define HATO_LOG_INVENTORY_H

#include "log/inside.h"

struct inventory {
    struct log *log;
    struct segment_list files; /* all .seg, opened, in order */
    size_t started;            /* how many of them hold records; the last of these may have a torn tail */
    uint64_t *ends;            /* of files[i], as the checkpoint of the next one says */
    uint64_t *made;            /* sequence numbers of .new files */
    size_t made_n, made_capacity;
    uint64_t *sequences;
    size_t sequences_n, sequences_capacity;
};

/* To be closed whatever it returns. Errors: ERR_CORRUPT, ERR_VERSION, ERR_IO. */
int inventory_open(struct inventory *v, struct log *log, struct error *e);
void inventory_close(struct inventory *v); /* and the files still in it */

#endif
