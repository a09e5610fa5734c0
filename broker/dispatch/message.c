#include "dispatch/message.h"

#include <proto/client.pb-c.h>
#include <string.h>

static void *allocate(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void leave(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

bool message_decode(struct message *m, const struct source_message *source, struct arena *arena)
{
    ProtobufCAllocator allocator = {.alloc = allocate, .free = leave, .allocator_data = arena};
    m->source = source;
    m->content = hato__message__unpack(&allocator, source->message.len, source->message.data);
    return m->content != NULL;
}

const struct Hato__Attribute *message_attribute(const struct message *m, const char *name)
{
    for (size_t i = 0; i < m->content->n_attributes; i++)
        if (strcmp(m->content->attributes[i]->name, name) == 0)
            return m->content->attributes[i];
    return NULL;
}

const char *message_attribute_text(const struct message *m, const char *name)
{
    const Hato__Attribute *a = message_attribute(m, name);
    if (a == NULL)
        return NULL;
    if (a->value_case == HATO__ATTRIBUTE__VALUE_TEXT)
        return a->text;
    return a->value_case == HATO__ATTRIBUTE__VALUE_NUMBER ? a->number : NULL;
}
