#include "bench/report.h"

#include <math.h>

#include "base/assert.h"
#include "base/human.h"
#include "bench/units.h"

enum { REPORT_SHOWN_MAX = 64 };
_Static_assert((int)REPORT_SHOWN_MAX >= (int)HUMAN_TEXT_MAX && (int)REPORT_SHOWN_MAX >= (int)UNITS_TEXT_MAX, "no room");

static struct report_value *report_add(struct report *r, const char *name, enum report_unit unit)
{
    ASSERT(r->count < REPORT_VALUES_MAX);
    struct report_value *v = &r->values[r->count++];
    *v = (struct report_value){.name = name, .unit = unit};
    return v;
}

void report_text(struct report *r, const char *name, const char *text)
{
    report_add(r, name, REPORT_TEXT)->text = text;
}

void report_number(struct report *r, const char *name, enum report_unit unit, double number)
{
    report_add(r, name, unit)->number = isfinite(number) ? number : 0;
}

void report_load(struct report *r, const struct load *load)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p999_us", 99.9}, {"max_us", 100}};
    report_number(r, "messages", REPORT_COUNT, (double)load->measured);
    report_number(r, "seconds", REPORT_SECONDS, load_seconds(load));
    report_number(r, "rate", REPORT_PER_SECOND, load_rate(load));
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        report_number(r, points[i].name, REPORT_MICROSECONDS,
                      (double)histogram_percentile(&load->latency, points[i].percent) / 1e3);
}

static void report_person(const struct report_value *v, FILE *out)
{
    char text[REPORT_SHOWN_MAX];
    fprintf(out, "  %-22s ", v->name);
    switch (v->unit) {
    case REPORT_TEXT:
        fprintf(out, "%s\n", v->text);
        break;
    case REPORT_COUNT:
        fprintf(out, "%s\n", units_count_text(v->number, text));
        break;
    case REPORT_PER_SECOND:
        fprintf(out, "%s/s\n", units_count_text(v->number, text));
        break;
    case REPORT_BYTES:
        fprintf(out, "%s\n", human_size_text((uint64_t)v->number, text));
        break;
    case REPORT_SECONDS:
        fprintf(out, "%s\n", units_time_text(v->number * 1e9, text));
        break;
    case REPORT_MICROSECONDS:
        fprintf(out, "%s\n", units_time_text(v->number * 1e3, text));
        break;
    case REPORT_RATIO:
        fprintf(out, "%.3f\n", v->number);
        break;
    }
}

static void report_json_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *c = text; *c != 0; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

void report_print(const struct report *r, bool json, FILE *out)
{
    if (r->count == 0) /* a command that prints by itself */
        return;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct report_value *v = &r->values[i];
        if (!json) {
            report_person(v, out);
            continue;
        }
        fprintf(out, "%s\"%s\": ", i == 0 ? "{" : ", ", v->name);
        if (v->unit == REPORT_TEXT)
            report_json_text(v->text, out);
        else
            fprintf(out, v->unit == REPORT_COUNT || v->unit == REPORT_BYTES ? "%.0f" : "%.6g", v->number);
    }
    if (json)
        fprintf(out, "}\n");
}
