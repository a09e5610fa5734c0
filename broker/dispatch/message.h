/* A leased message, decoded for the formats. */
#ifndef HATO_DISPATCH_MESSAGE_H
#define HATO_DISPATCH_MESSAGE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "dispatch/source.h"

struct Hato__Attribute;
struct Hato__Message;

struct message {
    const struct source_message *source; /* borrowed from the batch */
    const struct Hato__Message *content; /* in the arena */
};

/* False when the bytes are not a `Message`. */
bool message_decode(struct message *m, const struct source_message *source, struct arena *arena);

/* NULL when there is none of that name. */
const struct Hato__Attribute *message_attribute(const struct message *m, const char *name);

/* The attribute's value when it is text or a number, else NULL. */
const char *message_attribute_text(const struct message *m, const char *name);

#endif
