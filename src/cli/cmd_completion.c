/*
 * Shell completion, made from the command table: the words of the first position, and each
 * command's options.
 */
#include "base/cleanup.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

static void each_option_of(const struct option *options)
{
	for (const struct option *o = options; o && o->name; o++)
		(void)printf("--%s ", o->name);
}

static void print_bash(void)
{
	(void)puts(
	    "_dxvm() {\n"
	    "\tlocal word=${COMP_WORDS[COMP_CWORD]} command= i\n"
	    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\tcase ${COMP_WORDS[i]} in -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac\n"
	    "\tdone\n"
	    "\tlocal words=");
	(void)printf("\tcase $command in\n\t'') words='");
	for (const struct command *const *c = commands; *c; c++)
		(void)printf("%s ", (*c)->name);
	each_option_of(global_options);
	(void)puts("' ;;");
	for (const struct command *const *c = commands; *c; c++) {
		(void)printf("\t%s) words='", (*c)->name);
		each_option_of((*c)->options);
		each_option_of(global_options);
		(void)puts("' ;;");
	}
	(void)puts("\tesac\n"
		   "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
		   "}\n"
		   "complete -o default -F _dxvm dxvm");
}

/* Text inside single quotes of a shell. */
static void print_quoted(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			(void)fputs("'\\''", stdout);
		else
			(void)putchar(*text);
	}
}

static void print_zsh(void)
{
	(void)puts("#compdef dxvm\n"
		   "_dxvm() {\n"
		   "\tlocal -a commands\n"
		   "\tcommands=(");
	for (const struct command *const *c = commands; *c; c++) {
		(void)printf("\t\t'%s:", (*c)->name);
		print_quoted((*c)->summary);
		(void)puts("'");
	}
	(void)puts("\t)\n"
		   "\tif ((CURRENT == 2)); then\n"
		   "\t\t_describe command commands\n"
		   "\t\treturn\n"
		   "\tfi\n"
		   "\tcase $words[2] in");
	for (const struct command *const *c = commands; *c; c++) {
		(void)printf("\t%s) _values option ", (*c)->name);
		each_option_of((*c)->options);
		each_option_of(global_options);
		(void)puts(";;");
	}
	(void)puts("\tesac\n"
		   "}\n"
		   "compdef _dxvm dxvm");
}

static void print_fish_options(const struct option *options, const char *condition)
{
	for (const struct option *o = options; o && o->name; o++) {
		(void)printf("complete -c dxvm %s -l %s%s -d '", condition, o->name,
			     o->argument ? " -r" : "");
		print_quoted(o->summary);
		(void)puts("'");
	}
}

static void print_fish(void)
{
	for (const struct command *const *c = commands; *c; c++) {
		char condition[96];

		(void)printf("complete -c dxvm -f -n __fish_use_subcommand -a %s -d '", (*c)->name);
		print_quoted((*c)->summary);
		(void)puts("'");
		(void)snprintf(condition, sizeof(condition), "-n '__fish_seen_subcommand_from %s'",
			       (*c)->name);
		print_fish_options((*c)->options, condition);
	}
	print_fish_options(global_options, "");
}

static int run(const struct invocation *invocation, struct err *err)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (strcmp(invocation->arguments[0], shells[i].shell) == 0) {
			shells[i].print();
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "\"%s\": completions are there for bash, zsh and fish",
		       invocation->arguments[0]);
}

const struct command cmd_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print completions for a shell, to be read by it at its start",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
