/* hato completion */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

static bool takes_queue(const struct command *c)
{
    return strncmp(c->arguments, "QUEUE", 5) == 0;
}

static void print_options(const struct option *options)
{
    for (const struct option *o = options; o != NULL && o->kind != OPTION_END; o++) {
        printf(" --%s", o->name);
        if (o->kind == OPTION_SWITCH)
            printf(" --no-%s", o->name);
    }
}

static void print_choices(const struct command *c)
{
    for (const struct option *o = c->options; o != NULL && o->kind != OPTION_END; o++) {
        if (o->kind != OPTION_CHOICE)
            continue;
        printf("        '%s --%s') words='", c->name, o->name);
        for (int i = 0; o->choices[i] != NULL; i++)
            printf("%s%s", i > 0 ? " " : "", o->choices[i]);
        printf("' ;;\n");
    }
}

static void print_second_words(const char *noun)
{
    size_t len = strlen(noun);
    printf("            %s) words='", noun);
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            if (strncmp(c->name, noun, len) == 0 && c->name[len] == ' ')
                printf("%s ", c->name + len + 1);
        }
    }
    printf("' ;;\n");
}

/* First words, then second words of nouns, then options; names of queues and functions are asked from the broker. */
static void print_script(void)
{
    printf("# Completion of the hato command for bash. Use: source <(hato completion bash)\n"
           "_hato()\n{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' names='' cmd\n"
           "    cmd=${COMP_WORDS[1]}\n"
           "    case \"$cmd\" in queue|function) ((COMP_CWORD > 2)) && cmd=\"$cmd ${COMP_WORDS[2]}\" ;; esac\n"
           "    if ((COMP_CWORD == 1)); then\n        words='");
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
    printf("--help --version'\n    else\n        case \"$cmd $prev\" in\n");
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++)
            print_choices(c);
    }
    printf("        *) case \"$cmd\" in\n");
    print_second_words("queue");
    print_second_words("function");
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            printf("            '%s') %s%swords='", c->name, takes_queue(c) ? "names=queue; " : "",
                   strcmp(c->arguments, "NAME") == 0 ? "names=function; " : "");
            print_options(c->options);
            print_options(global_options);
            printf("' ;;\n");
        }
    }
    printf("        esac ;;\n        esac\n    fi\n"
           "    if [[ -n $names && $cur != -* ]]; then\n"
           "        [[ $cmd == bind && $COMP_CWORD == 3 ]] && names=function\n"
           "        words=$(hato \"$names\" list --names 2>/dev/null)\n"
           "    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
           "complete -F _hato hato\n");
}

static enum exit_code completion(struct run *r)
{
    if (strcmp(r->arguments.items[0], "bash") != 0)
        return command_usage(r, "completion is for bash only");
    print_script();
    return EXIT_DONE;
}

const struct command completion_commands[] = {
    {"completion", "bash", "Prints what bash needs to complete commands, options and names.", NULL,
     "source <(hato completion bash)", 1, 1, NULL, 0, completion},
    {0},
};
