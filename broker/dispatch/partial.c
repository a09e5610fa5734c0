#include "dispatch/partial.h"

#include <string.h>
#include <strings.h>

#include "dispatch/json_read.h"
#include "dispatch/message.h"

static bool claims_json(struct bytes answer, const char *content_type)
{
    for (const char *at = content_type; *at != '\0'; at++)
        if (strncasecmp(at, "json", 4) == 0)
            return true;
    for (size_t i = 0; i < answer.len; i++)
        if (strchr(" \t\r\n", answer.data[i]) == NULL || answer.data[i] == '\0')
            return answer.data[i] == '{' || answer.data[i] == '[';
    return false;
}

static bool blank(struct bytes answer)
{
    for (size_t i = 0; i < answer.len; i++)
        if (answer.data[i] == '\0' || strchr(" \t\r\n", answer.data[i]) == NULL)
            return false;
    return true;
}

/* Reading the answer as it comes. The list is a member of the outermost object: its entries stand at depth 2, their
 * members at depth 3. Of names that come twice, the last counts. */
struct reading {
    const struct message *messages;
    size_t count;
    bool *failed;
    const char *why; /* what is wrong with the list; NULL: nothing so far */
    bool listed;     /* within the member batchItemFailures */
    size_t entries;
    bool named; /* within an entry's member itemIdentifier */
    struct place {
        bool given; /* the entry has an identifier, */
        size_t at;  /* and this is its message's place; `count`: it is of another batch */
    } entry;
    size_t next; /* where to look first: answers mostly keep the batch's order */
};

static bool is_text(struct bytes b, const char *text)
{
    return bytes_equal(b, bytes_text(text));
}

/* At most PARTIAL_ENTRIES_MAX times SETTINGS_BATCH_MAX comparisons an answer; one each where the order is kept. */
static size_t place_of(const struct reading *r, struct bytes id)
{
    for (size_t i = 0; i < r->count; i++) {
        size_t at = r->next + i < r->count ? r->next + i : r->next + i - r->count;
        if (is_text(id, r->messages[at].source->id))
            return at;
    }
    return r->count;
}

static void take_member(struct reading *r, const struct json_event *event)
{
    if (event->kind == JSON_READ_KEY) {
        r->listed = is_text(event->text, "batchItemFailures");
        if (r->listed) {
            r->why = NULL;
            r->entries = 0;
            memset(r->failed, 0, r->count * sizeof *r->failed);
        }
    } else if (r->listed && event->kind != JSON_READ_ARRAY && event->kind != JSON_READ_NULL &&
               event->kind != JSON_READ_END) {
        r->why = "batchItemFailures is not a list";
    }
}

static void end_entry(struct reading *r)
{
    if (!r->entry.given) {
        r->why = "batchItemFailures has an entry without itemIdentifier";
    } else if (r->entry.at == r->count) {
        r->why = "batchItemFailures names a message that is not of this batch";
    } else {
        r->failed[r->entry.at] = true;
        r->next = r->entry.at;
    }
}

static void take_entry(struct reading *r, const struct json_event *event)
{
    if (event->kind == JSON_READ_END) {
        end_entry(r);
        return;
    }
    r->entry.given = false;
    r->named = false;
    if (r->entries++ == PARTIAL_ENTRIES_MAX)
        r->why = "batchItemFailures has too many entries";
    else if (event->kind != JSON_READ_OBJECT)
        r->why = "batchItemFailures has an entry without itemIdentifier";
}

static void take_entry_member(struct reading *r, const struct json_event *event)
{
    if (event->kind == JSON_READ_KEY) {
        r->named = is_text(event->text, "itemIdentifier");
    } else if (r->named && event->kind != JSON_READ_END) {
        r->entry.given = event->kind == JSON_READ_STRING && event->text.len > 0;
        if (r->entry.given)
            r->entry.at = place_of(r, event->text);
    }
}

static void take(void *ctx, const struct json_event *event)
{
    struct reading *r = ctx;
    if (event->depth == 1)
        take_member(r, event);
    else if (r->listed && r->why == NULL && event->depth == 2)
        take_entry(r, event);
    else if (r->listed && r->why == NULL && event->depth == 3)
        take_entry_member(r, event);
}

static enum partial all_failed(const char **why, const char *text)
{
    *why = text;
    return PARTIAL_ALL_FAILED;
}

enum partial partial_read(struct bytes answer, const char *content_type, const struct message *messages, size_t count,
                          bool *failed, const char **why)
{
    *why = "";
    if (answer.len >= 3 && memcmp(answer.data, "\xEF\xBB\xBF", 3) == 0) /* RFC 8259, 8.1: it may be ignored */
        answer = bytes_of(answer.data + 3, answer.len - 3);
    if (blank(answer) || !claims_json(answer, content_type))
        return PARTIAL_NONE_FAILED;
    struct reading r = {.messages = messages, .count = count, .failed = failed};
    if (!json_read(answer, take, &r))
        return all_failed(why, "the answer is not the JSON that it claims to be");
    if (r.why != NULL)
        return all_failed(why, r.why);
    return r.entries > 0 ? PARTIAL_SOME_FAILED : PARTIAL_NONE_FAILED;
}
