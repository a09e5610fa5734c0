#include "state/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "state/identity.h"
#include "state/settings_fields.h"

#define QUEUE(member, low, high, first, text) SETTINGS_FIELD(Hato__QueueSettings, member, low, high, first, text)
#define BINDING(member, low, high, first, text) SETTINGS_FIELD(Hato__BindingSettings, member, low, high, first, text)

static const struct settings_field QUEUE_FIELDS[] = {
    QUEUE(kind, 0, 1, HATO__QUEUE_KIND__STANDARD, "0 (standard) or 1 (FIFO)"),
    QUEUE(visibility_ms, 0, SETTINGS_VISIBILITY_MAX_MS, 30 * SETTINGS_SECOND_MS, "0 to 7 days in ms"),
    QUEUE(delay_ms, 0, SETTINGS_DELAY_MAX_MS, 0, "0 to 10 years in ms"),
    QUEUE(retention_ms, SETTINGS_SECOND_MS, SETTINGS_DELAY_MAX_MS, 4 * SETTINGS_DAY_MS, "1 s to 10 years in ms"),
    QUEUE(max_message_bytes, 1, SETTINGS_MESSAGE_MAX, UINT64_C(1) << 20, "1 to 67108864 (64 MiB)"),
    QUEUE(max_messages, 0, UINT64_MAX, 0, "any number"),
    QUEUE(max_bytes, 0, UINT64_MAX, 0, "any number"),
    QUEUE(max_in_flight, 1, SETTINGS_IN_FLIGHT_MAX, 120000, "1 to 10000000"),
    QUEUE(receive_wait_ms, 0, SETTINGS_HOUR_MS, 0, "0 to 1 hour in ms"),
    QUEUE(max_receives, 1, SETTINGS_RECEIVES_MAX, 10, "1 to 1000000"),
    QUEUE(on_exhausted, 0, 1, HATO__ON_EXHAUSTED__DEAD_LETTER, "0 (dead letter) or 1 (halt the group)"),
    QUEUE(content_deduplication, 0, 1, 0, "true or false"),
    QUEUE(deduplication_window_ms, SETTINGS_SECOND_MS, SETTINGS_VISIBILITY_MAX_MS, 300 * SETTINGS_SECOND_MS,
          "1 s to 7 days in ms"),
    QUEUE(deduplication_scope, 0, 1, HATO__DEDUPLICATION_SCOPE__SCOPE_QUEUE, "0 (queue) or 1 (group)"),
};

static const struct settings_field BINDING_FIELDS[] = {
    BINDING(batch_size, 1, SETTINGS_BATCH_MAX, 10, "1 to 1000"),
    BINDING(window_ms, 0, 300 * SETTINGS_SECOND_MS, 0, "0 to 5 minutes in ms"),
    BINDING(max_concurrency, 1, SETTINGS_CONCURRENCY_MAX, 1000, "1 to 10000"),
    BINDING(paused, 0, 1, 0, "true or false"),
};

enum {
    QUEUE_COUNT = sizeof QUEUE_FIELDS / sizeof QUEUE_FIELDS[0],
    BINDING_COUNT = sizeof BINDING_FIELDS / sizeof BINDING_FIELDS[0],
};

/* Settings under construction: texts are borrowed from what is merged, then all is copied at once. Messages inside are
 * made anew, since those given may hold fields that are not known here, of any size. */
struct draft {
    Hato__QueueSettings queue;
    Hato__BindingSettings binding;
    Hato__GroupWeight *weights;
    Hato__GroupWeight **sorted;
    char empty[1];
};

/* ---------------------------------------------------------------- checks */

/* As that of a message. */
static bool is_group(const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= 0x20 || name[i] >= 0x7f)
            return false;
    return len > 0 && len <= SETTINGS_GROUP_MAX;
}

static int check_weight(const Hato__GroupWeight *w, struct error *e)
{
    if (!is_group(w->group))
        return error_field(e, ERR_INVALID, "group_weights",
                           "a group's name is 1 to %d letters, digits and punctuation of ASCII",
                           (int)SETTINGS_GROUP_MAX);
    if (w->has_weight && (w->weight < 1 || w->weight > SETTINGS_WEIGHT_MAX))
        return error_field(e, ERR_INVALID, "group_weights", "a group's weight is 1 to %d, not %u",
                           (int)SETTINGS_WEIGHT_MAX, w->weight);
    return ERR_OK;
}

static int check_weights(const Hato__QueueSettings *given, struct error *e)
{
    if (given->n_group_weights > SETTINGS_WEIGHTS_MAX)
        return error_field(e, ERR_INVALID, "group_weights", "at most %d groups may have a weight, not %zu",
                           (int)SETTINGS_WEIGHTS_MAX, given->n_group_weights);
    int code = ERR_OK;
    for (size_t i = 0; i < given->n_group_weights && code == ERR_OK; i++)
        code = check_weight(given->group_weights[i], e);
    return code;
}

int settings_binding_check(const Hato__BindingSettings *given, struct error *e)
{
    return settings_fields_check(BINDING_FIELDS, BINDING_COUNT, given, e);
}

int settings_queue_check(const Hato__QueueSettings *given, struct error *e)
{
    int code = settings_fields_check(QUEUE_FIELDS, QUEUE_COUNT, given, e);
    if (code == ERR_OK)
        code = check_weights(given, e);
    if (code == ERR_OK && given->binding != NULL)
        code = settings_binding_check(given->binding, e);
    if (code == ERR_OK && given->has_user_data && given->user_data.len > SETTINGS_USER_DATA_MAX)
        code = error_field(e, ERR_INVALID, "user_data", "user_data is at most %d bytes, not %zu",
                           (int)SETTINGS_USER_DATA_MAX, given->user_data.len);
    return code;
}

static int check_dead_letter_queue(struct bytes name, const char *dead_letters, struct error *e)
{
    struct identity parts;
    struct bytes text = bytes_text(dead_letters);
    if (text.len == 0)
        return ERR_OK;
    int code = identity_split_queue(text, "dead_letter_queue", &parts, e);
    if (code != ERR_OK)
        return code;
    if (bytes_equal(name, text))
        return error_field(e, ERR_INVALID, "dead_letter_queue", "a queue can't be its own dead-letter queue");
    if (identity_is_fifo(name) != identity_is_fifo(text))
        return error_field(e, ERR_INVALID, "dead_letter_queue", "the dead-letter queue of a %s",
                           identity_is_fifo(name) ? "FIFO queue must be a FIFO queue (its name ends in .fifo)"
                                                  : "standard queue must be a standard queue");
    return ERR_OK;
}

static int check_kind(struct bytes name, const Hato__QueueSettings *s, struct error *e)
{
    bool fifo = s->kind == HATO__QUEUE_KIND__FIFO;
    if (fifo && !identity_is_fifo(name))
        return error_field(e, ERR_INVALID, "kind", "a FIFO queue's name ends in .fifo");
    if (!fifo && identity_is_fifo(name))
        return error_field(e, ERR_INVALID, "kind", "a queue whose name ends in .fifo is a FIFO queue");
    if (!fifo && s->on_exhausted == HATO__ON_EXHAUSTED__HALT_GROUP)
        return error_field(e, ERR_INVALID, "on_exhausted", "only a FIFO queue can halt a group");
    return ERR_OK;
}

static int check_function_name(const char *function, struct error *e)
{
    struct identity parts;
    if (function[0] == '\0')
        return ERR_OK;
    return identity_split_function(bytes_text(function), "binding_function", &parts, e);
}

/* ---------------------------------------------------------------- merging */

static void begin_draft(struct draft *d)
{
    hato__queue_settings__init(&d->queue);
    hato__binding_settings__init(&d->binding);
    d->weights = NULL;
    d->sorted = NULL;
    d->empty[0] = '\0';
    settings_fields_default(QUEUE_FIELDS, QUEUE_COUNT, &d->queue);
    d->queue.dead_letter_queue = d->empty;
    d->queue.binding_function = d->empty;
    d->queue.has_user_data = true;
}

static int compare_weights(const void *a, const void *b)
{
    const Hato__GroupWeight *const *x = a;
    const Hato__GroupWeight *const *y = b;
    return bytes_compare(bytes_text((*x)->group), bytes_text((*y)->group));
}

static void copy_weights(struct draft *d, Hato__GroupWeight *const *given, size_t count)
{
    d->weights = memory_grow(d->weights, count, sizeof *d->weights);
    d->sorted = memory_grow(d->sorted, count, sizeof(Hato__GroupWeight *));
    for (size_t i = 0; i < count; i++) {
        hato__group_weight__init(&d->weights[i]);
        d->weights[i].group = given[i]->group;
        d->weights[i].has_weight = true;
        d->weights[i].weight = given[i]->has_weight ? given[i]->weight : 1;
        d->sorted[i] = &d->weights[i];
    }
    qsort(d->sorted, count, sizeof(Hato__GroupWeight *), compare_weights);
}

static int merge_weights(struct draft *d, const Hato__QueueSettings *given, struct error *e)
{
    if (given->n_group_weights == 0) {
        if (given->clear_group_weights)
            d->queue.n_group_weights = 0;
        return ERR_OK;
    }
    size_t count = given->n_group_weights;
    copy_weights(d, given->group_weights, count);
    for (size_t i = 1; i < count; i++)
        if (strcmp(d->sorted[i - 1]->group, d->sorted[i]->group) == 0)
            return error_field(e, ERR_INVALID, "group_weights", "the group \"%s\" has more than one weight",
                               d->sorted[i]->group);
    d->queue.n_group_weights = count;
    d->queue.group_weights = d->sorted;
    return ERR_OK;
}

/* A binding begins anew when the function changes, and goes with it; but a queue that is paused goes on only when told to. */
static int merge_binding(struct draft *d, const Hato__QueueSettings *given, struct error *e)
{
    char *function = given->binding_function;
    if (function != NULL && strcmp(function, d->queue.binding_function) != 0) {
        d->queue.binding_function = function;
        bool paused = d->binding.paused && d->queue.binding != NULL;
        settings_fields_default(BINDING_FIELDS, BINDING_COUNT, &d->binding);
        d->binding.paused = paused;
    }
    bool bound = d->queue.binding_function[0] != '\0';
    d->queue.binding = bound ? &d->binding : NULL;
    if (given->binding == NULL)
        return ERR_OK;
    if (!bound)
        return error_field(e, ERR_INVALID, "binding",
                           "there is no function bound to the queue: bind one first (hato bind QUEUE FUNCTION)");
    settings_fields_merge(BINDING_FIELDS, BINDING_COUNT, given->binding, &d->binding);
    return ERR_OK;
}

static int merge(struct draft *d, const Hato__QueueSettings *given, struct error *e)
{
    settings_fields_merge(QUEUE_FIELDS, QUEUE_COUNT, given, &d->queue);
    if (given->dead_letter_queue != NULL)
        d->queue.dead_letter_queue = given->dead_letter_queue;
    if (given->has_user_data)
        d->queue.user_data = given->user_data;
    int code = merge_weights(d, given, e);
    return code == ERR_OK ? merge_binding(d, given, e) : code;
}

static int check_whole(struct bytes name, const struct draft *d, struct error *e)
{
    int code = check_kind(name, &d->queue, e);
    if (code == ERR_OK)
        code = check_dead_letter_queue(name, d->queue.dead_letter_queue, e);
    return code == ERR_OK ? check_function_name(d->queue.binding_function, e) : code;
}

/* What was checked and merged, as settings of their own. */
static int finish(struct draft *d, int code, Hato__QueueSettings **out)
{
    if (code == ERR_OK)
        *out = settings_queue_copy(&d->queue);
    memory_free(d->weights);
    memory_free(d->sorted);
    return code;
}

int settings_queue_create(struct bytes name, const Hato__QueueSettings *given, Hato__QueueSettings **out,
                          struct error *e)
{
    struct draft d;
    begin_draft(&d);
    if (identity_is_fifo(name))
        d.queue.kind = HATO__QUEUE_KIND__FIFO;
    int code = given != NULL ? settings_queue_check(given, e) : ERR_OK;
    if (code == ERR_OK && given != NULL)
        code = merge(&d, given, e);
    if (code == ERR_OK)
        code = check_whole(name, &d, e);
    return finish(&d, code, out);
}

int settings_queue_merge(struct bytes name, const Hato__QueueSettings *now, const Hato__QueueSettings *given,
                         Hato__QueueSettings **out, struct error *e)
{
    struct draft d;
    begin_draft(&d);
    int code = merge(&d, now, e);
    if (code == ERR_OK && given != NULL)
        code = settings_queue_check(given, e);
    if (code == ERR_OK && given != NULL && given->has_kind && given->kind != now->kind)
        code = error_field(e, ERR_INVALID, "kind", "a queue's kind is fixed when it is created");
    if (code == ERR_OK && given != NULL)
        code = merge(&d, given, e);
    if (code == ERR_OK)
        code = check_whole(name, &d, e);
    return finish(&d, code, out);
}

/* ---------------------------------------------------------------- whole settings */

bool settings_queue_equal(const Hato__QueueSettings *a, const Hato__QueueSettings *b, bool for_create)
{
    Hato__QueueSettings sides[] = {*a, *b};
    struct buffer packed[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        if (for_create) {
            sides[i].binding = NULL;
            sides[i].binding_function = NULL;
            sides[i].has_user_data = false;
        }
        settings_pack(&sides[i], &packed[i]);
    }
    bool equal = bytes_equal(buffer_view(&packed[0]), buffer_view(&packed[1]));
    buffer_close(&packed[0]);
    buffer_close(&packed[1]);
    return equal;
}

const char *settings_queue_difference(const Hato__QueueSettings *a, const Hato__QueueSettings *b)
{
    const char *name = settings_fields_difference(QUEUE_FIELDS, QUEUE_COUNT, a, b);
    if (name != NULL)
        return name;
    return strcmp(a->dead_letter_queue, b->dead_letter_queue) != 0 ? "dead_letter_queue" : "group_weights";
}

Hato__QueueSettings *settings_queue_copy(const Hato__QueueSettings *s)
{
    struct buffer packed = {0};
    settings_pack(s, &packed);
    Hato__QueueSettings *copy = settings_unpack(&hato__queue_settings__descriptor, buffer_view(&packed));
    buffer_close(&packed);
    return copy;
}

void settings_queue_free(Hato__QueueSettings *s)
{
    settings_discard(s);
}

void settings_queue_encode(const Hato__QueueSettings *s, struct buffer *out)
{
    settings_pack(s, out);
}

/* Over the defaults, so that what an earlier build wrote has the fields that came since. */
int settings_queue_decode(struct bytes b, Hato__QueueSettings **out, struct error *e)
{
    struct draft d;
    Hato__QueueSettings *read = settings_unpack(&hato__queue_settings__descriptor, b);
    if (read == NULL)
        return error_set(e, ERR_CORRUPT, "a queue's settings can't be read");
    begin_draft(&d);
    int code = settings_queue_check(read, e);
    if (code == ERR_OK)
        code = merge(&d, read, e);
    code = finish(&d, code, out);
    settings_discard(read);
    if (code != ERR_OK && e != NULL)
        e->code = ERR_CORRUPT;
    return code == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

uint32_t settings_group_weight(const Hato__QueueSettings *s, struct bytes group)
{
    size_t low = 0;
    size_t high = s->n_group_weights;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const Hato__GroupWeight *w = s->group_weights[middle];
        int order = bytes_compare(bytes_text(w->group), group);
        if (order == 0)
            return w->weight;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 1;
}
