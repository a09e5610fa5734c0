/* Format raw: the body as it is, all else in headers. Attributes that can't stand in a header are left out, and
 * so is, of "Foo" and "foo", the second: to a header they are one name. */
#include <proto/client.pb-c.h>
#include <stdio.h>

#include "base/assert.h"
#include "dispatch/format.h"

static void add_attribute(struct headers *h, const Hato__Attribute *a)
{
    char name[300];
    int len = snprintf(name, sizeof name, "hato-attr-%s", a->name);
    if (len < 0 || (size_t)len >= sizeof name || !headers_name_valid(bytes_text(name)) || headers_has(h, name))
        return;
    if (a->value_case == HATO__ATTRIBUTE__VALUE_TEXT)
        headers_add_text(h, name, a->text);
    else if (a->value_case == HATO__ATTRIBUTE__VALUE_NUMBER)
        headers_add_text(h, name, a->number);
}

static void encode(struct crypto *crypto, const struct origin *origin, const struct message *m, size_t count,
                   struct encoded *out)
{
    (void)crypto;
    ASSERT(count == 1);
    const Hato__Message *content = m->content;
    struct headers *h = &out->headers;
    headers_add_text(h, "hato-message-id", m->source->id);
    headers_add_text(h, "hato-queue", origin->name);
    headers_add_number(h, "hato-receive-count", m->source->receive_count);
    headers_add_number(h, "hato-sent", m->source->sent_ms);
    if (content->group[0] != '\0')
        headers_add_text(h, "hato-group", content->group);
    for (size_t i = 0; i < content->n_attributes; i++)
        add_attribute(h, content->attributes[i]);
    out->body = bytes_of(content->body.data, content->body.len);
}

const struct format format_raw = {
    .name = "raw", .single = true, .content_type = "application/octet-stream", .encode = encode};
