#include "dispatch/partial.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

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

/* The place of the message with this id, looked for from `from` on and round, since answers mostly keep the order. */
static size_t place_of(const char *id, const struct message *messages, size_t count, size_t from)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = from + i < count ? from + i : from + i - count;
        if (strcmp(messages[at].source->id, id) == 0)
            return at;
    }
    return count;
}

static enum partial all_failed(const char **why, const char *text)
{
    *why = text;
    return PARTIAL_ALL_FAILED;
}

static enum partial mark(const json_t *list, const struct message *messages, size_t count, bool *failed,
                         const char **why)
{
    size_t entries = json_array_size(list);
    if (entries > PARTIAL_ENTRIES_MAX)
        return all_failed(why, "batchItemFailures has too many entries");
    memset(failed, 0, count * sizeof *failed);
    size_t at = 0;
    for (size_t i = 0; i < entries; i++) {
        const char *id = json_string_value(json_object_get(json_array_get(list, i), "itemIdentifier"));
        if (id == NULL || id[0] == '\0')
            return all_failed(why, "batchItemFailures has an entry without itemIdentifier");
        at = place_of(id, messages, count, at);
        if (at == count)
            return all_failed(why, "batchItemFailures names a message that is not of this batch");
        failed[at] = true;
    }
    return PARTIAL_SOME_FAILED;
}

enum partial partial_read(struct bytes answer, const char *content_type, const struct message *messages, size_t count,
                          bool *failed, const char **why)
{
    *why = "";
    if (blank(answer) || !claims_json(answer, content_type))
        return PARTIAL_NONE_FAILED;
    json_t *root = json_loadb((const char *)answer.data, answer.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (root == NULL)
        return all_failed(why, "the answer is not the JSON that it claims to be");
    const json_t *list = json_object_get(root, "batchItemFailures");
    enum partial verdict = PARTIAL_NONE_FAILED;
    if (list != NULL && !json_is_null(list) && !json_is_array(list))
        verdict = all_failed(why, "batchItemFailures is not a list");
    else if (json_array_size(list) > 0)
        verdict = mark(list, messages, count, failed, why);
    json_decref(root);
    return verdict;
}
