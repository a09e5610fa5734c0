#include "dispatch/answer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "dispatch/format.h"
#include "dispatch/partial.h"
#include "dispatch/target.h"

enum { ERROR_BODY_MAX = 256 };

/* Appends what can be shown of the bytes: control characters become spaces, what is not UTF-8 a question mark. */
static void append_text(char *out, size_t size, struct bytes b)
{
    size_t len = strlen(out);
    while (b.len > 0) {
        uint32_t point = 0;
        size_t step = utf8_next(b, &point);
        bool odd = step == 0 || point < 0x20 || point == 0x7f;
        size_t bytes = odd ? 1 : step;
        if (len + bytes + 1 > size)
            break;
        if (odd)
            out[len] = step == 0 ? '?' : ' ';
        else
            memcpy(out + len, b.data, step);
        len += bytes;
        step = step > 0 ? step : 1;
        b.data += step;
        b.len -= step;
    }
    out[len] = '\0';
}

static void say(struct judgement *out, enum verdict verdict, const char *what, struct bytes more)
{
    out->verdict = verdict;
    snprintf(out->error, sizeof out->error, "%s", what);
    if (more.len == 0)
        return;
    if (more.len > ERROR_BODY_MAX)
        more.len = ERROR_BODY_MAX;
    size_t len = strlen(out->error);
    snprintf(out->error + len, sizeof out->error - len, ": ");
    append_text(out->error, sizeof out->error, more);
}

static void say_status(struct judgement *out, enum verdict verdict, const struct answer *a)
{
    char what[32];
    snprintf(what, sizeof what, "HTTP %u", a->status);
    say(out, verdict, what, a->body);
}

static bool begins_with(struct bytes b, const char *text)
{
    size_t len = strlen(text);
    return b.len >= len && memcmp(b.data, text, len) == 0;
}

/* A name as a key of the object, cheaply: the emulator's errors have it in their first bytes. */
static bool is_error_object(struct bytes b)
{
    static const char *const keys[] = {"\"errorType\"", "\"errorMessage\""};
    while (b.len > 0 && (b.data[0] == ' ' || b.data[0] == '\n')) {
        b.data++;
        b.len--;
    }
    if (!begins_with(b, "{"))
        return false;
    b.data++;
    b.len--;
    while (b.len > 0 && (b.data[0] == ' ' || b.data[0] == '\n')) {
        b.data++;
        b.len--;
    }
    return begins_with(b, keys[0]) || begins_with(b, keys[1]);
}

/* The emulator says 200 to everything; what went wrong is in the body. */
static bool emulator_failed(const struct answer *a, struct judgement *out)
{
    if (a->body.len == 0)
        say(out, VERDICT_FAILED, "the function's process ended (empty answer)", a->body);
    else if (begins_with(a->body, "Task timed out"))
        say(out, VERDICT_FAILED, "the function timed out", a->body);
    else if (is_error_object(a->body))
        say(out, VERDICT_FAILED, "the function failed", a->body);
    else
        return false;
    return true;
}

static void judge_success(const struct answer *a, const struct target *target, const struct message *messages,
                          size_t count, bool *failed, struct judgement *out)
{
    bool partial = target->format->partial;
    if (a->end == ANSWER_TOO_LARGE && partial) {
        say(out, VERDICT_FAILED, "the answer is larger than 6 MiB", bytes_of(NULL, 0));
        return;
    }
    if (a->end == ANSWER_CROWDED && partial) {
        say(out, VERDICT_TROUBLE, "no room for the answer", bytes_text(a->reason));
        return;
    }
    if (partial && a->function_error[0] != '\0') {
        say(out, VERDICT_FAILED, "the function failed", a->body);
        return;
    }
    if (target->emulator && partial && emulator_failed(a, out))
        return;
    out->verdict = VERDICT_DELIVERED;
    if (!partial)
        return;
    const char *why = "";
    enum partial p = partial_read(a->body, a->content_type, messages, count, failed, &why);
    if (p == PARTIAL_ALL_FAILED)
        say(out, VERDICT_FAILED, why, a->body);
    else if (p == PARTIAL_SOME_FAILED) {
        out->partial = true;
        snprintf(out->error, sizeof out->error, "named in batchItemFailures");
    }
}

static enum verdict verdict_of(uint32_t status)
{
    switch (status) {
    case 410:
        return VERDICT_GONE;
    case 502: /* bad gateway: what a proxy says when what is behind it is down, or broke off over this request */
    case 504: /* gateway timeout */
    case 524: /* the same, as content networks say it */
        return VERDICT_SILENT;
    case 429: /* too many requests */
    case 503: /* unavailable */
    case 521: /* content networks': down, unreachable, too slow to connect, TLS */
    case 522:
    case 523:
    case 525:
    case 526:
        return VERDICT_TROUBLE;
    default:
        return VERDICT_FAILED;
    }
}

void answer_judge(const struct answer *a, const struct target *target, const struct message *messages, size_t count,
                  bool *failed, struct judgement *out)
{
    *out = (struct judgement){.verdict = VERDICT_DELIVERED};
    struct bytes reason = bytes_text(a->reason);
    /* A refusal is clear from its status, whatever happened to the rest of it. */
    bool refused = a->status >= 300;
    switch (refused ? ANSWER_COMPLETE : a->end) {
    case ANSWER_UNREACHABLE:
        say(out, VERDICT_TROUBLE, "not reachable", reason);
        return;
    case ANSWER_BROKEN:
        say(out, VERDICT_SILENT, "no whole answer", reason);
        return;
    case ANSWER_TIMED_OUT:
        say(out, VERDICT_SILENT, "no answer in time", reason);
        return;
    case ANSWER_COMPLETE:
    case ANSWER_TOO_LARGE:
    case ANSWER_CROWDED:
        break;
    }
    if (a->status >= 200 && a->status <= 299)
        judge_success(a, target, messages, count, failed, out);
    else
        say_status(out, verdict_of(a->status), a);
}
