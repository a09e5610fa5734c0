/* hato completion */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

/* compgen -W runs what is written like a command in its words: of what a broker answers it is given names only.
 *
 * The script puts together again what bash took apart at ':' and '=', steps over options and their values wherever they
 * stand, and so knows the command and which of its arguments is being typed. Queues and functions are asked from the
 * broker that the line names. */
static const char BEGIN[] =
    "# Completion of the hato command for bash. Use: source <(hato completion bash)\n"
    "_hato()\n"
    "{\n"
    "    local i w rest=${COMP_LINE:0:COMP_POINT} line=() args=() ask=() opt='' names='' words=''\n"
    "    for ((i = 0; i <= COMP_CWORD; i++)); do\n"
    "        w=${COMP_WORDS[i]}\n"
    "        if [[ $i == 0 || $rest == [[:space:]]* ]]; then\n"
    "            line+=('')\n"
    "            rest=${rest#\"${rest%%[![:space:]]*}\"}\n"
    "        fi\n"
    "        [[ $rest == \"$w\"* ]] || w=$rest\n"
    "        line[${#line[@]} - 1]+=$w\n"
    "        rest=${rest#\"$w\"}\n"
    "    done\n"
    "    local last=$((${#line[@]} - 1))\n"
    "    local cur=${line[last]}\n";

static const char WALK[] = "    for ((i = 1; i < last; i++)); do\n"
                           "        w=${line[i]}\n"
                           "        case $w in\n"
                           "        --server=* | --deadline=*) ask+=(\"$w\") ;;\n"
                           "        -*)\n"
                           "            [[ $takes == *\" $w \"* ]] || continue\n"
                           "            if ((i + 1 == last)); then\n"
                           "                opt=$w\n"
                           "            elif [[ $w == --server || $w == --deadline ]]; then\n"
                           "                ask+=(\"$w\" \"${line[i + 1]}\")\n"
                           "            fi\n"
                           "            ((i++)) ;;\n"
                           "        *) args+=(\"$w\") ;;\n"
                           "        esac\n"
                           "    done\n"
                           "    if [[ -z $opt && $cur == --*=* ]]; then\n"
                           "        opt=${cur%%=*}\n"
                           "        cur=${cur#*=}\n"
                           "    fi\n"
                           "    local cmd=${args[0]-} given=$((${#args[@]} - 1))\n"
                           "    if [[ ($cmd == queue || $cmd == function) && $given -gt 0 ]]; then\n"
                           "        cmd=\"$cmd ${args[1]}\"\n"
                           "        ((given--))\n"
                           "    fi\n";

static const char END[] =
    "    if [[ -n $names ]]; then\n"
    "        words=$(\"${line[0]/#\\~/$HOME}\" --deadline 2s \"${ask[@]}\" \"$names\" list --names 2>/dev/null |\n"
    "            LC_ALL=C grep -x '[A-Za-z0-9_.-]*')\n"
    "    fi\n"
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
    "}\n"
    "complete -F _hato hato\n";

typedef void (*visitor)(const struct command *c);

static void each_command(visitor visit)
{
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            visit(c);
    }
}

static bool takes_value(const struct option *o)
{
    return o->kind != OPTION_FLAG && o->kind != OPTION_SWITCH;
}

static void print_options(const struct option *options)
{
    for (const struct option *o = options; o != NULL && o->kind != OPTION_END; o++) {
        printf(" --%s", o->name);
        if (o->kind == OPTION_SWITCH)
            printf(" --no-%s", o->name);
    }
}

static void print_value_options(const struct option *options)
{
    for (const struct option *o = options; o != NULL && o->kind != OPTION_END; o++) {
        if (takes_value(o))
            printf("--%s ", o->name);
    }
}

static void print_values_of(const struct command *c)
{
    print_value_options(c->options);
}

/* What may stand after an option: its choices, or names. */
static void print_choices(const struct command *c)
{
    for (const struct option *o = c->options; o != NULL && o->kind != OPTION_END; o++) {
        if (o->kind == OPTION_CHOICE) {
            printf("        '%s --%s') words='", c->name, o->name);
            for (int i = 0; o->choices[i] != NULL; i++)
                printf("%s%s", i > 0 ? " " : "", o->choices[i]);
            printf("' ;;\n");
        } else if (takes_value(o) && strcmp(o->value, "QUEUE") == 0) {
            printf("        '%s --%s') names=queue ;;\n", c->name, o->name);
        }
    }
}

static void print_options_of(const struct command *c)
{
    printf("        '%s') words='", c->name);
    print_options(c->options);
    print_options(global_options);
    printf("' ;;\n");
}

/* "QUEUE FUNCTION": what each argument names; what it doesn't name is new or anything. */
static void print_arguments_of(const struct command *c)
{
    size_t len = strlen(c->name);
    if (len > 7 && strcmp(c->name + len - 7, " create") == 0)
        return;
    int place = 0;
    for (const char *at = c->arguments; *at != '\0'; place++) {
        size_t word = strcspn(at, " ");
        const char *kind = strncmp(at, "QUEUE", word) == 0                                        ? "names=queue"
                           : strncmp(at, "FUNCTION", word) == 0 || strncmp(at, "NAME", word) == 0 ? "names=function"
                           : strncmp(at, "bash", word) == 0                                       ? "words=bash"
                                                                                                  : NULL;
        if (kind != NULL)
            printf("        '%s %d') %s ;;\n", c->name, place, kind);
        at += word + (at[word] == ' ');
    }
}

static void print_second_words(const char *noun)
{
    size_t len = strlen(noun);
    printf("        '%s 0') words='", noun);
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            if (strncmp(c->name, noun, len) == 0 && c->name[len] == ' ')
                printf("%s ", c->name + len + 1);
        }
    }
    printf("' ;;\n");
}

static void print_first_words(void)
{
    const char *noun = "";
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            size_t len = strcspn(c->name, " ");
            if (c->name[len] == ' ' && strncmp(noun, c->name, len + 1) == 0)
                continue;
            noun = c->name;
            printf("%.*s ", (int)len, c->name);
        }
    }
}

static void print_script(void)
{
    fputs(BEGIN, stdout);
    printf("    local takes=' ");
    print_value_options(global_options);
    each_command(print_values_of);
    printf("'\n");
    fputs(WALK, stdout);
    printf("    if [[ -n $opt ]]; then\n        case \"$cmd $opt\" in\n");
    each_command(print_choices);
    printf("        esac\n    elif [[ $cur == -* ]]; then\n        case \"$cmd\" in\n");
    each_command(print_options_of);
    printf("        *) words='");
    print_options(global_options);
    printf(" --version' ;;\n        esac\n    elif [[ -z $cmd ]]; then\n        words='");
    print_first_words();
    printf("help'\n    else\n        case \"$cmd $given\" in\n");
    print_second_words("queue");
    print_second_words("function");
    each_command(print_arguments_of);
    printf("        esac\n    fi\n");
    fputs(END, stdout);
}

static enum exit_code completion(struct run *r)
{
    if (strcmp(r->arguments.items[0], "bash") != 0)
        return command_usage(r, "", "completion is for bash only, not '%.60s'", r->arguments.items[0]);
    print_script();
    return EXIT_DONE;
}

const struct command completion_commands[] = {
    {"completion", "bash", "Prints what bash needs to complete commands, options and names.",
     "Names of queues and functions are asked from the broker that the line or HATO_SERVER names.",
     "source <(hato completion bash)", 1, 1, NULL, 0, completion},
    {0},
};
