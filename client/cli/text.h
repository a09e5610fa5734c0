/* Times, ages and bodies as people read them. */
#ifndef HATO_CLI_TEXT_H
#define HATO_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TEXT_MAX = 64 };

uint64_t text_now_ms(void); /* milliseconds since 1970 UTC, by this machine's clock */

/* "3s", "4m", "2h05m", "6d": how long ago (or until) `at_ms` is; "-" for 0. */
char *text_age(uint64_t at_ms, uint64_t now_ms, char out[TEXT_MAX]);

/* "2026-01-31 12:00:05" in local time; "-" for 0. */
char *text_time(uint64_t at_ms, char out[TEXT_MAX]);

/* 1234567 as "1,234,567". */
char *text_count(uint64_t n, char out[TEXT_MAX]);

/* Writes it with dots for control characters and what is not UTF-8, so that it can't command a terminal. */
void text_print(FILE *to, const char *text);

/* A body, as it is; but to a terminal control characters other than newline and tab, and what is not UTF-8, as \x1b, so
 * that it can't command it. */
void text_body(FILE *to, const void *body, size_t len);

/* One line of at most `columns` characters: control characters and what is not UTF-8 as dots, "..." when cut. */
void text_line(const void *data, size_t len, size_t columns, char *out, size_t size);

#endif
