/* Messages, counts and settings, as JSON and for people. Field names of JSON are those of the protocol (proto/). */
#ifndef HATO_CLI_VIEW_H
#define HATO_CLI_VIEW_H

#include "cli/json.h"
#include "hato.h"

/* A receipt as text for the command line, and back. The text's memory is `out`'s. */
const char *view_receipt(struct buffer *out, struct hato_bytes receipt);

void view_message_json(struct json *j, const struct hato_message *m); /* fields of the object begun */
void view_delivery_json(struct json *j, const struct hato_delivery *d);
void view_peeked_json(struct json *j, const struct hato_peeked *p);
void view_counts_json(struct json *j, const struct hato_counts *c);
void view_queue_json(struct json *j, const struct hato_queue *q);
void view_function_json(struct json *j, const struct hato_function *f);
void view_redrive_json(struct json *j, const struct hato_redrive *r);

void view_delivery(const struct hato_delivery *d);       /* a few lines and the body */
void view_message_lines(const struct hato_message *m);   /* group, attributes, provenance: a line each */
void view_text_line(const char *name, const char *text); /* made safe for a terminal; nothing when it is empty */
void view_queue(const struct hato_queue *q);             /* everything, a line each */
void view_function(const struct hato_function *f);

extern const char *const view_kinds[];     /* by enum hato_queue_kind, ends with NULL */
extern const char *const view_exhausted[]; /* by enum hato_exhausted */
extern const char *const view_scopes[];    /* by enum hato_deduplication_scope */
extern const char *const view_formats[];   /* by enum hato_format */
extern const char *const view_which[];     /* by enum hato_which */

/* The name at this place of such a list, "?" beyond its end. */
const char *view_name(const char *const *names, int at);

#endif
