/* Commands in: each is checked against what the shard can take and written into the open batch. */
#include "base/assert.h"
#include "shard/internal.h"

static int refuse_to_lead(const struct shard *s, struct error *e)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    if (status.leader != 0 && status.leader != s->options.node)
        return error_set(e, ERR_NOT_LEADER, "node %llu leads shard %u; retry there", (unsigned long long)status.leader,
                         s->options.number);
    return error_set(e, ERR_NOT_LEADER, "this node does not lead shard %u now; retry", s->options.number);
}

int shard_refuse(const struct shard *s, struct error *e)
{
    if (s->resting)
        return error_set(e, ERR_STORAGE_FULL, "shard %u waits: %s", s->options.number, s->problem);
    if (s->stopped)
        return error_set(e, ERR_CORRUPT, "shard %u has stopped: %s", s->options.number, s->problem);
    if (!s->leads || s->closing)
        return refuse_to_lead(s, e);
    return ERR_OK;
}

static int admit(struct shard *s, size_t bytes, struct error *e)
{
    int rc = shard_refuse(s, e);
    if (rc != ERR_OK)
        return rc;
    if (bytes + ENTRY_HEADER_BYTES + ENTRY_COMMAND_BYTES > ENTRY_BYTES_MAX)
        return error_set(e, ERR_TOO_LARGE,
                         "the request takes %zu bytes, more than an entry's %d: send fewer messages at once", bytes,
                         ENTRY_BYTES_MAX);
    if (s->pending_bytes + bytes > SHARD_PENDING_BYTES_MAX)
        return error_set(e, ERR_OVERLOADED, "shard %u has %d MiB of commands waiting for the disk; retry",
                         s->options.number, SHARD_PENDING_BYTES_MAX >> 20);
    return ERR_OK;
}

int shard_refuse_messages(const struct shard *s, struct error *e)
{
    if (s->accept_sends && log_has_room(s->options.log))
        return ERR_OK;
    return error_set(
        e, ERR_STORAGE_FULL,
        "the disk is nearly full (less is free than --disk-reserve, or no file can be made: see df and "
        "df -i): new messages are refused until there is space again, also by acks; receive and ack go on");
}

int shard_send(struct shard *s, struct command *c, const struct entry_send *send, const struct bytes *messages,
               struct error *e)
{
    size_t bytes = entry_send_bytes(messages, send->count);
    int rc = admit(s, bytes, e);
    if (rc != ERR_OK)
        return rc;
    rc = shard_refuse_messages(s, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, bytes);
    entry_add_send(&b->writer, send, messages);
    batch_add(b, c);
    return ERR_OK;
}

enum { SETTLE_FIXED = 64 + ENTRY_ERROR_MAX }; /* more than the fixed part of ack, nack, extend and cancel */

int shard_ack(struct shard *s, struct command *c, uint64_t queue, const struct entry_lease *leases, uint32_t count,
              struct error *e)
{
    size_t bytes = SETTLE_FIXED + sizeof *leases * (size_t)count;
    int rc = admit(s, bytes, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, bytes);
    entry_add_ack(&b->writer, queue, leases, count);
    batch_add(b, c);
    return ERR_OK;
}

int shard_nack(struct shard *s, struct command *c, const struct entry_settle *settle, const struct entry_lease *leases,
               struct error *e)
{
    size_t bytes = SETTLE_FIXED + sizeof *leases * (size_t)settle->count;
    int rc = admit(s, bytes, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, bytes);
    entry_add_nack(&b->writer, settle, leases);
    batch_add(b, c);
    return ERR_OK;
}

int shard_extend(struct shard *s, struct command *c, uint64_t queue, uint64_t visibility_ms,
                 const struct entry_lease *leases, uint32_t count, struct error *e)
{
    size_t bytes = SETTLE_FIXED + sizeof *leases * (size_t)count;
    int rc = admit(s, bytes, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, bytes);
    entry_add_extend(&b->writer, queue, visibility_ms, leases, count);
    batch_add(b, c);
    return ERR_OK;
}

int shard_cancel(struct shard *s, struct command *c, uint64_t queue, const uint64_t *sequences, uint32_t count,
                 struct error *e)
{
    size_t bytes = SETTLE_FIXED + sizeof *sequences * (size_t)count;
    int rc = admit(s, bytes, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, bytes);
    entry_add_cancel(&b->writer, queue, sequences, count);
    batch_add(b, c);
    return ERR_OK;
}

int shard_command(struct shard *s, struct command *c, enum command_kind kind, struct bytes payload, struct error *e)
{
    int rc = admit(s, payload.len, e);
    if (rc == ERR_OK && kind == COMMAND_ACCEPT) /* messages as good as new: the log has them a second time */
        rc = shard_refuse_messages(s, e);
    if (rc != ERR_OK)
        return rc;
    struct batch *b = shard_batch_for(s, payload.len);
    entry_add(&b->writer, kind, payload);
    batch_add(b, c);
    return ERR_OK;
}
