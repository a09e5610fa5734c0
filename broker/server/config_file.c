#include "server/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    text[len] = '\0';
    return text;
}

static void cut_comment(char *value)
{
    for (char *at = value; (at = strchr(at, ';')) != NULL; at++) {
        if (at == value || isspace((unsigned char)at[-1])) {
            *at = '\0';
            return;
        }
    }
}

static int read_setting(char *text, config_file_setting on_setting, void *user, struct error *e)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return error_field(e, ERR_INVALID, "config", "not of the form name = value");
    *equals = '\0';
    cut_comment(equals + 1);
    const char *value = trim(equals + 1);
    if (*value == '"' || *value == '\'')
        return error_field(e, ERR_INVALID, "config", "a value in quotes: it stands without");
    return on_setting(user, trim(text), value, e);
}

static int read_line(char *line, size_t len, config_file_setting on_setting, void *user, struct error *e)
{
    if (strlen(line) != len)
        return error_field(e, ERR_INVALID, "config", "a zero byte: this is no text");
    bool indented = isspace((unsigned char)*line);
    char *text = trim(line);
    size_t end = strlen(text);
    if (end == 0 || *text == ';' || *text == '#' || (*text == '[' && text[end - 1] == ']'))
        return ERR_OK;
    if (indented)
        return error_field(e, ERR_INVALID, "config",
                           "an indented line: every setting stands at the beginning of its own");
    return read_setting(text, on_setting, user, e);
}

static int unreadable(const char *path, struct error *e)
{
    return error_field(e, ERR_IO, "config", "cannot read %s: %s", path, strerror(errno));
}

static int read_lines(FILE *f, const char *path, config_file_setting on_setting, void *user, struct error *e)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* that some editors put before UTF-8 */
    char *line = NULL;
    size_t room = 0;
    int rc = ERR_OK;
    ssize_t n;
    for (unsigned number = 1; rc == ERR_OK && (n = getline(&line, &room, f)) >= 0; number++) {
        size_t skip = number == 1 && strncmp(line, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
        rc = read_line(line + skip, (size_t)n - skip, on_setting, user, e);
        if (rc != ERR_OK)
            error_wrap(e, "%s, line %u", path, number);
    }
    free(line);
    return rc;
}

/* As much of the file as may be, and one byte more. */
static int read_text(const char *path, char text[CONFIG_FILE_MAX + 1], size_t *len, struct error *e)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return unreadable(path, e);
    *len = fread(text, 1, CONFIG_FILE_MAX + 1, f);
    int rc = ferror(f) ? unreadable(path, e) : ERR_OK;
    fclose(f);
    if (rc == ERR_OK && *len > CONFIG_FILE_MAX)
        rc = error_field(e, ERR_TOO_LARGE, "config", "%s has more than %d bytes: it is not a file of settings", path,
                         CONFIG_FILE_MAX);
    return rc;
}

int config_file_read(const char *path, config_file_setting on_setting, void *user, struct error *e)
{
    char text[CONFIG_FILE_MAX + 1];
    size_t len = 0;
    int rc = read_text(path, text, &len, e);
    if (rc != ERR_OK || len == 0)
        return rc;
    FILE *f = fmemopen(text, len, "r");
    if (f == NULL)
        return unreadable(path, e);
    rc = read_lines(f, path, on_setting, user, e);
    fclose(f);
    return rc;
}
