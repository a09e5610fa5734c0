/* The commands of an entry: one function each, in a table of machine.c. A command that is refused says so in its reply and changes
 * nothing; a return value other than 0 stops the shard. */
#ifndef HATO_STATE_COMMAND_H
#define HATO_STATE_COMMAND_H

#include "state/internal.h"

typedef int (*command_fn)(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);

int command_send(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);    /* send.c */
int command_receive(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e); /* receive.c */
int command_ack(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);     /* settle.c */
int command_nack(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_extend(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_cancel(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e); /* cancel.c */
int command_queue_create(struct machine *m, const struct entry_command *c, struct reply *r,
                         struct error *e); /* administer.c */
int command_queue_set(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_queue_delete(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_queue_purge(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_group_resume(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_function(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_nodes(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_redrive_start(struct machine *m, const struct entry_command *c, struct reply *r,
                          struct error *e); /* move.c */
int command_redrive_cancel(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_settled(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e);
int command_accept(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e); /* accept.c */

#endif
