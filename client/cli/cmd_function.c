/* hato function create, set, list, show, delete */
#include <stdio.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"

struct function_values {
    struct hato_function_settings settings;
    struct text_list headers;
    struct text_list secrets;
    bool clear_headers;
    bool clear_secrets;
};

#define SETTING(field) offsetof(struct function_values, settings.field)
#define PRESENT SETTING(present)

static const struct option settings_options[] = {
    {"url", OPTION_TEXT, SETTING(url), "URL", "where messages are posted (http or https)", NULL, PRESENT,
     HATO_FUNCTION_URL},
    {"format", OPTION_CHOICE, SETTING(format), "FORMAT", "how they are posted (raw)", view_formats, PRESENT,
     HATO_FUNCTION_FORMAT},
    {"timeout", OPTION_DURATION, SETTING(timeout_ms), "DURATION", "of one request (30s)", NULL, PRESENT,
     HATO_FUNCTION_TIMEOUT, .min = 100, .max = OPTION_HOUR},
    {"max-concurrency", OPTION_U32, SETTING(max_concurrency), "N",
     "requests at once of a node, over all queues (1000; the Lambda emulator: 1)", NULL, PRESENT,
     HATO_FUNCTION_MAX_CONCURRENCY, .min = 1, .max = 10000},
    {"retry-min", OPTION_DURATION, SETTING(retry_min_ms), "DURATION", "first pause before a retry (1s)", NULL, PRESENT,
     HATO_FUNCTION_RETRY_MIN, .min = 1, .max = OPTION_DAY},
    {"retry-max", OPTION_DURATION, SETTING(retry_max_ms), "DURATION", "longest such pause (5m)", NULL, PRESENT,
     HATO_FUNCTION_RETRY_MAX, .min = 1, .max = OPTION_DAY},
    {"header", OPTION_LIST, offsetof(struct function_values, headers), "'NAME: VALUE'",
     "sent with every request; again for more, up to 32; replaces all headers", NULL, PRESENT, HATO_FUNCTION_HEADERS},
    {"clear-headers", OPTION_FLAG, offsetof(struct function_values, clear_headers), NULL, "no headers any more", NULL,
     PRESENT, HATO_FUNCTION_HEADERS},
    {"secret", OPTION_LIST, offsetof(struct function_values, secrets), "whsec_...",
     "signs requests by Standard Webhooks; twice while changing it, the new one first", NULL, PRESENT,
     HATO_FUNCTION_SECRETS},
    {"clear-secrets", OPTION_FLAG, offsetof(struct function_values, clear_secrets), NULL, "no signatures any more",
     NULL, PRESENT, HATO_FUNCTION_SECRETS},
    {"content-type", OPTION_TEXT, SETTING(content_type), "TYPE",
     "of bodies: of raw requests, and of CloudEvents whose message has no attribute content-type "
     "(application/octet-stream)",
     NULL, PRESENT, HATO_FUNCTION_CONTENT_TYPE},
    {"rate", OPTION_REAL, SETTING(rate), "N", "requests a second of a node at most, 0.001 to 1000000; 0: no limit (0)",
     NULL, PRESENT, HATO_FUNCTION_RATE},
    {0},
};

/* NULL when what is given contradicts itself, which is told then. */
static struct hato_function_settings *take_lists(struct run *r)
{
    struct function_values *v = r->values;
    if (v->headers.count > 0 && v->clear_headers) {
        command_usage(r, "header",
                      "--header and --clear-headers contradict each other: give one of them "
                      "(--header replaces all headers)");
        return NULL;
    }
    if (v->secrets.count > 0 && v->clear_secrets) {
        command_usage(r, "secret",
                      "--secret and --clear-secrets contradict each other: give one of them "
                      "(--secret replaces all secrets)");
        return NULL;
    }
    v->settings.headers = v->headers.items;
    v->settings.header_count = v->headers.count;
    v->settings.secrets = v->secrets.items;
    v->settings.secret_count = v->secrets.count;
    return &v->settings;
}

/* One function: its JSON, all of it, or a line that says what was done. */
static enum exit_code finish(struct run *r, struct hato_call *call, const char *done)
{
    enum exit_code code;
    struct hato_reply *reply = command_wait(r, call, &code);
    if (reply == NULL)
        return code;
    const struct hato_function *f = &reply->functions[0];
    struct json j = {0};
    if (r->globals.json) {
        view_function_json(&j, f);
        json_print(&j);
    } else if (done == NULL) {
        view_function(f);
    } else {
        printf("%s %s: %s\n", done, f->name, f->settings.url);
    }
    buffer_close(&j.out);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code create(struct run *r)
{
    struct hato_function_settings *s = take_lists(r);
    if (s == NULL)
        return EXIT_USAGE;
    if (s->url == NULL)
        return command_usage(r, "url", "--url is needed: where messages are posted");
    return finish(r, hato_function_create(r->client, r->arguments.items[0], s, NULL, NULL), "created");
}

static enum exit_code set(struct run *r)
{
    struct hato_function_settings *s = take_lists(r);
    if (s == NULL)
        return EXIT_USAGE;
    if (s->present == 0)
        return command_usage(r, "", "nothing to set: name at least one setting, such as --timeout 10s");
    return finish(r, hato_function_set(r->client, r->arguments.items[0], s, NULL, NULL), "changed");
}

static enum exit_code show(struct run *r)
{
    return finish(r, hato_function_show(r->client, r->arguments.items[0], NULL, NULL), NULL);
}

static void add_row(struct table *t, const struct hato_function *f)
{
    char text[TEXT_MAX];
    table_cell(t, "%s", f->name);
    table_cell(t, "%s%s", f->state, f->partial ? "?" : "");
    table_cell(t, "%u/%u", f->in_flight, f->window);
    table_cell(t, "%s", text_count(f->delivered_total, text));
    table_cell(t, "%s", text_count(f->failed_total, text));
    table_cell(t, "%s", text_count(f->queues_total, text));
    table_cell(t, "%s", f->settings.url);
}

struct list_values {
    bool names;
};

static const struct option list_options[] = {
    {"names", OPTION_FLAG, offsetof(struct list_values, names), NULL,
     "names only, one a line; with --json a list of them", NULL, 0, 0},
    {0},
};

static enum exit_code list(struct run *r)
{
    const struct list_values *v = r->values;
    struct json j = {0};
    struct table t;
    char after[256] = "";
    enum exit_code code = EXIT_DONE;
    size_t count = 0;
    json_list(&j, NULL);
    table_open(&t, "FUNCTION|STATE|>IN FLIGHT|>DELIVERED|>FAILED|>QUEUES|URL");
    for (bool more = true; more;) {
        struct hato_list_options options = {.after = after, .max = 1000};
        struct hato_reply *reply = command_wait(r, hato_function_list(r->client, &options, NULL, NULL), &code);
        if (reply == NULL)
            break;
        for (size_t i = 0; i < reply->function_count; i++) {
            const struct hato_function *f = &reply->functions[i];
            if (r->globals.json && v->names)
                json_text(&j, NULL, f->name);
            else if (r->globals.json)
                view_function_json(&j, f);
            else if (v->names)
                printf("%s\n", f->name);
            else
                add_row(&t, f);
        }
        count += reply->function_count;
        snprintf(after, sizeof after, "%s", reply->next);
        more = after[0] != '\0';
        hato_reply_destroy(reply);
    }
    json_list_end(&j);
    if (code == EXIT_DONE && r->globals.json)
        json_print(&j);
    else if (code == EXIT_DONE && !v->names && count > 0)
        table_print(&t);
    else if (code == EXIT_DONE && !v->names)
        fprintf(stderr, "no functions; make one with: hato function create NAME --url URL\n");
    buffer_close(&t.cells);
    buffer_close(&j.out);
    return code;
}

static enum exit_code delete_function(struct run *r)
{
    enum exit_code code;
    const char *name = r->arguments.items[0];
    struct hato_reply *reply = command_wait(r, hato_function_delete(r->client, name, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    struct json j = {0};
    if (r->globals.json) {
        json_object(&j, NULL);
        json_text(&j, "deleted", name);
        json_object_end(&j);
        json_print(&j);
    } else {
        printf("deleted %s\n", name);
    }
    buffer_close(&j.out);
    hato_reply_destroy(reply);
    return code;
}

const struct command function_commands[] = {
    {"function create", "NAME", "Creates a function: an HTTP endpoint that messages are pushed to.",
     "Messages come once a queue is bound to it: hato bind. Formats:\n"
     "  raw                     one message a request, its body as it is; attributes in headers hato-attr-NAME, but\n"
     "                          for binary ones and those that can't stand in a header, which are left out\n"
     "  lambda                  a batch, as AWS Lambda gets it from SQS, with all attributes; partial batch failures\n"
     "                          are honoured; of a FIFO queue, what is behind a failed one in its group comes again\n"
     "                          with it, named as failed or not: stop at the first failure\n"
     "  cloudevents             one message a request, its body as it is; attributes in headers ce-NAME where the\n"
     "                          name is letters and digits alone (in lower case then), others are left out\n"
     "  cloudevents-structured  the same as one JSON object: a body whose content type is JSON is 'data', one of\n"
     "                          text/ a string there, any other 'data_base64'\n"
     "An answer of 2xx acks. Any other, and none within the timeout, counts as a receive: the message waits\n"
     "--retry-min to --retry-max, and after its queue's max receives goes to the dead-letter queue. Not counted, and\n"
     "tried again as soon as the function is well: it can't be reached, or answers 410, 429, 503, 521 to 523, 525 or\n"
     "526; and, while others are not answered either, a connection that breaks, a timeout, and 502, 504 or 524 (a\n"
     "proxy got no answer). Of a message that is alone three timeouts are not counted, and two hours of the others.",
     "hato function create resize --url http://127.0.0.1:8080/ --format lambda --timeout 30s\nhato bind jobs resize", 1,
     1, settings_options, sizeof(struct function_values), create},
    {"function set", "NAME", "Changes settings of a function; those not given stay.", NULL,
     "hato function set resize --rate 100 --retry-max 1m", 1, 1, settings_options, sizeof(struct function_values), set},
    {"function list", "", "Lists functions.",
     "A '?' behind the state: a node of the cluster that delivers to it did not answer, and what it knows is missing.",
     "hato function list", 0, 0, list_options, sizeof(struct list_values), list},
    {"function show", "NAME", "Shows a function: settings, state, last attempts.", NULL, "hato function show resize", 1,
     1, NULL, 0, show},
    {"function delete", "NAME", "Deletes a function that no queue is bound to.", NULL, "hato function delete resize", 1,
     1, NULL, 0, delete_function},
    {0},
};
