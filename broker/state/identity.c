#include "state/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

/* Apart from every other use of the hash. */
#define SHARD_SEED UINT64_C(0x7368617264)
#define ARN_BEGIN "arn:aws:sqs:"
#define FIFO_END ".fifo"

enum { TOLD_MAX = 60, RECEIPT_VERSION = 1, RECEIPT_CHECKED = 25 };

/* ---------------------------------------------------------------- names */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_region_char(uint8_t c)
{
    return is_lower(c) || is_digit(c) || c == '-';
}

static bool is_name_char(uint8_t c)
{
    return is_region_char(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool all(struct bytes b, bool (*is)(uint8_t c))
{
    for (size_t i = 0; i < b.len; i++)
        if (!is(b.data[i]))
            return false;
    return true;
}

/* Names may be anything before they are checked: what can be printed is shown as it is, every other byte as \xNN. */
static const char *shown(struct bytes b, char out[TOLD_MAX + 4])
{
    size_t used = 0;
    while (b.len > 0) {
        uint32_t point = 0;
        size_t taken = utf8_next(b, &point);
        bool plain = taken > 0 && point >= 0x20 && point != '"' && !(point >= 0x7f && point < 0xa0);
        size_t len = plain ? taken : strlen("\\xNN");
        if (used + len > TOLD_MAX) {
            memcpy(out + used, "...", 4);
            return out;
        }
        if (plain)
            memcpy(out + used, b.data, len);
        else
            snprintf(out + used, len + 1, "\\x%02x", b.data[0]);
        used += len;
        taken = plain ? taken : 1;
        b = bytes_of(b.data + taken, b.len - taken);
    }
    out[used] = '\0';
    return out;
}

int identity_check_account(struct bytes account, const char *field, struct error *e)
{
    char text[TOLD_MAX + 4];
    if (account.len == IDENTITY_ACCOUNT_LEN && all(account, is_digit))
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "the account is 12 digits, not \"%s\"", shown(account, text));
}

int identity_check_region(struct bytes region, const char *field, struct error *e)
{
    char text[TOLD_MAX + 4];
    if (region.len >= 1 && region.len <= IDENTITY_REGION_MAX && all(region, is_region_char))
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "the region is 1 to 32 of a-z 0-9 -, not \"%s\"", shown(region, text));
}

bool identity_is_fifo(struct bytes queue_name)
{
    size_t len = strlen(FIFO_END);
    return queue_name.len >= len && memcmp(queue_name.data + queue_name.len - len, FIFO_END, len) == 0;
}

static int check_name(struct bytes name, size_t max, const char *what, const char *field, struct error *e)
{
    char text[TOLD_MAX + 4];
    if (name.len == 0)
        return error_field(e, ERR_INVALID, field, "the %s's name is missing", what);
    if (name.len > max)
        return error_field(e, ERR_INVALID, field, "the %s's name has %zu characters, at most %zu are allowed", what,
                           name.len, max);
    struct bytes stem = name;
    if (max == IDENTITY_QUEUE_MAX && identity_is_fifo(name))
        stem.len -= strlen(FIFO_END);
    if (stem.len > 0 && all(stem, is_name_char))
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "the %s's name is made of A-Z a-z 0-9 _ -%s, which \"%s\" is not", what,
                       max == IDENTITY_QUEUE_MAX ? " (a FIFO queue's with .fifo at its end)" : "", shown(name, text));
}

int identity_check_queue(struct bytes name, const char *field, struct error *e)
{
    return check_name(name, IDENTITY_QUEUE_MAX, "queue", field, e);
}

int identity_check_function(struct bytes name, const char *field, struct error *e)
{
    return check_name(name, IDENTITY_FUNCTION_MAX, "function", field, e);
}

size_t identity_full_name(char out[IDENTITY_NAME_MAX + 1], struct bytes account, struct bytes region, struct bytes name)
{
    ASSERT(account.len == IDENTITY_ACCOUNT_LEN && region.len <= IDENTITY_REGION_MAX && name.len <= IDENTITY_QUEUE_MAX);
    int len = snprintf(out, IDENTITY_NAME_MAX + 1, "%.*s:%.*s:%.*s", (int)account.len, (const char *)account.data,
                       (int)region.len, (const char *)region.data, (int)name.len, (const char *)name.data);
    return (size_t)len;
}

/* The part of *rest before the next colon; *rest is then what follows it. */
static struct bytes part(struct bytes *rest)
{
    const uint8_t *colon = rest->len == 0 ? NULL : memchr(rest->data, ':', rest->len);
    struct bytes before = *rest;
    if (colon == NULL) {
        *rest = bytes_of(NULL, 0);
        return before;
    }
    before.len = (size_t)(colon - rest->data);
    *rest = bytes_of(colon + 1, rest->len - before.len - 1);
    return before;
}

static int split(struct bytes full_name, const char *field,
                 int (*check)(struct bytes name, const char *field, struct error *e), struct identity *out,
                 struct error *e)
{
    struct bytes rest = full_name;
    out->account = part(&rest);
    out->region = part(&rest);
    out->name = rest;
    int code = identity_check_account(out->account, field, e);
    if (code == ERR_OK)
        code = identity_check_region(out->region, field, e);
    return code == ERR_OK ? check(out->name, field, e) : code;
}

int identity_split_queue(struct bytes full_name, const char *field, struct identity *out, struct error *e)
{
    return split(full_name, field, identity_check_queue, out, e);
}

int identity_split_function(struct bytes full_name, const char *field, struct identity *out, struct error *e)
{
    return split(full_name, field, identity_check_function, out, e);
}

size_t identity_arn(char out[IDENTITY_ARN_MAX + 1], const struct identity *queue)
{
    int len = snprintf(out, IDENTITY_ARN_MAX + 1, ARN_BEGIN "%.*s:%.*s:%.*s", (int)queue->region.len,
                       (const char *)queue->region.data, (int)queue->account.len, (const char *)queue->account.data,
                       (int)queue->name.len, (const char *)queue->name.data);
    ASSERT(len > 0 && len <= IDENTITY_ARN_MAX);
    return (size_t)len;
}

int identity_arn_parse(struct bytes arn, const char *field, struct identity *out, struct error *e)
{
    char text[TOLD_MAX + 4];
    size_t begin = strlen(ARN_BEGIN);
    if (arn.len < begin || memcmp(arn.data, ARN_BEGIN, begin) != 0)
        return error_field(e, ERR_INVALID, field,
                           "a queue's ARN is arn:aws:sqs:REGION:ACCOUNT:NAME, which \"%s\" is not", shown(arn, text));
    struct bytes rest = bytes_of(arn.data + begin, arn.len - begin);
    out->region = part(&rest);
    out->account = part(&rest);
    out->name = rest;
    int code = identity_check_region(out->region, field, e);
    if (code == ERR_OK)
        code = identity_check_account(out->account, field, e);
    return code == ERR_OK ? identity_check_queue(out->name, field, e) : code;
}

uint16_t identity_shard_of(struct bytes full_name, uint16_t shards)
{
    ASSERT(shards > 0);
    return (uint16_t)(1 + bytes_hash(full_name, SHARD_SEED) % shards);
}

/* ---------------------------------------------------------------- message ids */

static const uint8_t GROUPS[] = {8, 4, 4, 4, 12}; /* digits between the hyphens */

static void put_digits(char out[16], uint64_t v)
{
    for (int i = 15; i >= 0; i--, v >>= 4)
        out[i] = "0123456789abcdef"[v & 15];
}

void identity_message_id(char out[IDENTITY_MESSAGE_ID_LEN + 1], uint64_t queue, uint64_t sequence)
{
    char digits[32];
    put_digits(digits, queue);
    put_digits(digits + 16, sequence);
    const char *from = digits;
    for (size_t g = 0; g < sizeof GROUPS; g++) {
        if (g > 0)
            *out++ = '-';
        memcpy(out, from, GROUPS[g]);
        out += GROUPS[g];
        from += GROUPS[g];
    }
    *out = '\0';
}

static int digit_value(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_digits(struct bytes text, uint64_t halves[2])
{
    const uint8_t *at = text.data;
    size_t digit = 0;
    for (size_t g = 0; g < sizeof GROUPS; g++) {
        if (g > 0 && *at++ != '-')
            return false;
        for (size_t i = 0; i < GROUPS[g]; i++, digit++) {
            int value = digit_value(*at++);
            if (value < 0)
                return false;
            halves[digit / 16] = halves[digit / 16] << 4 | (uint64_t)value;
        }
    }
    return true;
}

int identity_message_id_parse(struct bytes text, const char *field, uint64_t *queue, uint64_t *sequence,
                              struct error *e)
{
    uint64_t halves[2] = {0, 0};
    char told[TOLD_MAX + 4];
    if (text.len != IDENTITY_MESSAGE_ID_LEN || !parse_digits(text, halves))
        return error_field(e, ERR_INVALID, field,
                           "a message id is 36 characters, as 00000000-0000-0000-0000-000000000000, not \"%s\"",
                           shown(text, told));
    *queue = halves[0];
    *sequence = halves[1];
    return ERR_OK;
}

/* ---------------------------------------------------------------- receipts */

static uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"). */
static uint64_t siphash(struct bytes b, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)b.len << 56;
    struct cursor c = cursor_open(b);
    while (cursor_left(&c) >= 8) {
        uint64_t word = cursor_u64(&c);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    for (unsigned i = 0; cursor_left(&c) > 0; i++)
        last |= (uint64_t)cursor_u8(&c) << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The shard's secret has 64 bits; the other half of the key only tells this use of it from others. */
static uint64_t receipt_check(const uint8_t *checked, uint64_t secret)
{
    return siphash(bytes_of(checked, RECEIPT_CHECKED), secret, UINT64_C(0x68617463) ^ rotate(secret, 32));
}

static uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        *at++ = (uint8_t)(v >> (8 * i));
    return at;
}

void receipt_encode(uint8_t out[IDENTITY_RECEIPT_LEN], const struct receipt *r, uint64_t secret)
{
    out[0] = RECEIPT_VERSION;
    uint8_t *at = put_u64(out + 1, r->queue);
    at = put_u64(at, r->sequence);
    at = put_u64(at, r->lease);
    put_u64(at, receipt_check(out, secret));
}

uint64_t receipt_queue(struct bytes receipt)
{
    struct cursor c = cursor_open(receipt);
    if (receipt.len != IDENTITY_RECEIPT_LEN || cursor_u8(&c) != RECEIPT_VERSION)
        return 0;
    return cursor_u64(&c);
}

int receipt_decode(struct bytes receipt, uint64_t queue, uint64_t secret, struct receipt *out, struct error *e)
{
    struct cursor c = cursor_open(receipt);
    if (receipt.len != IDENTITY_RECEIPT_LEN || cursor_u8(&c) != RECEIPT_VERSION)
        return error_field(e, ERR_RECEIPT_INVALID, "receipt", "this is not a receipt: give it as it was received");
    out->queue = cursor_u64(&c);
    out->sequence = cursor_u64(&c);
    out->lease = cursor_u64(&c);
    if (out->queue != queue)
        return error_field(e, ERR_RECEIPT_INVALID, "receipt", "the receipt is of another queue");
    if (cursor_u64(&c) != receipt_check(receipt.data, secret))
        return error_field(e, ERR_RECEIPT_INVALID, "receipt", "the receipt was altered or made up");
    return ERR_OK;
}
