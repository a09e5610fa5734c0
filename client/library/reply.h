/* Replies while they are handed out, and those that are kept. */
#ifndef HATO_LIBRARY_REPLY_H
#define HATO_LIBRARY_REPLY_H

#include "base/arena.h"
#include "base/error.h"
#include "hato.h"

/* What a callback's `reply` points into. */
struct reply_view {
    struct hato_reply reply;
    struct arena *arena; /* holds all of the reply and nothing of others: keeping takes it over. NULL: keeping copies */
};

void reply_view_open(struct reply_view *v, struct arena *arena);
void reply_view_error(struct reply_view *v, const struct error *e);

#endif
