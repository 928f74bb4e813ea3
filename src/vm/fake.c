/*
 * No machine at all: the real agent as a process of this host, over the same two sockets. It serves
 * sessions as the current user in the project's directory, so that everything above the seam can be
 * tested without booting anything.
 */
#include "base/mem.h"
#include "vm/child.h"
#include "vm/vm.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define FAKE_FD_LINK  "3"
#define FAKE_FD_SHARE "4"

struct fake {
	struct vm vm;
	const struct vm_events *events;
	void *ctx;
	struct child *child;
	bool asked; /* to end, by us */
};

static struct fake *fake_of(struct vm *vm)
{
	return (struct fake *)(void *)vm;
}

static void on_child_gone(void *ctx, int status, const char *words)
{
	struct fake *fake = ctx;
	struct vm_exit exit = {
	    .expected = fake->asked || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
	};
	auto_free char *how = spawn_describe(status);

	if (!exit.expected)
		(void)snprintf(exit.text, sizeof(exit.text), "the agent %s%s%.400s", how,
			       words[0] ? ": " : "", words);
	fake->events->gone(fake->ctx, &exit);
}

/* Each string stays the spec's, but for the ones that are constant. */
static int make_argv(const struct vm_spec *spec, const char *argv[9], struct err *err)
{
	size_t count = 0;

	if (!spec->agent_program || !spec->project_dir)
		return err_set(err, ERR_INVALID,
			       "the fake machine needs an agent and a project directory");
	argv[count++] = spec->agent_program;
	argv[count++] = "--link-fd";
	argv[count++] = FAKE_FD_LINK;
	argv[count++] = "--share-fd";
	argv[count++] = FAKE_FD_SHARE;
	argv[count++] = "--fake";
	argv[count++] = "--project";
	argv[count++] = spec->project_dir;
	argv[count] = NULL;
	return 0;
}

static void fake_free(struct vm *vm)
{
	struct fake *fake = fake_of(vm);

	child_free(fake->child);
	free(fake);
}

static int fake_start(const struct vm_spec *spec, uv_loop_t *loop, const struct vm_events *events,
		      void *ctx, struct vm **ret_vm, struct err *err)
{
	const char *argv[9];
	const struct spawn_fd fds[] = {
	    {.parent = spec->agent_fd, .child = 3},
	    {.parent = spec->share_fd, .child = 4},
	};
	struct fake *fake;

	if (make_argv(spec, argv, err) < 0)
		return -1;
	const struct spawn spawn = {
	    .program = spec->agent_program,
	    .arguments = (char *const *)(uintptr_t)argv,
	    .fds = fds,
	    .fd_count = ARRAY_SIZE(fds),
	    .die_with_parent = true,
	};
	fake = xcalloc(1, sizeof(*fake));
	*fake = (struct fake){.vm = {.ops = &vm_fake}, .events = events, .ctx = ctx};
	if (child_start(loop, &spawn, on_child_gone, fake, &fake->child, err) < 0) {
		free(fake);
		return err_wrap(err, "start the fake machine");
	}
	*ret_vm = &fake->vm;
	return 0;
}

static int fake_describe(const struct vm_spec *spec, struct buf *text, struct err *err)
{
	const char *argv[9];

	if (make_argv(spec, argv, err) < 0)
		return -1;
	for (size_t i = 0; argv[i]; i++)
		if (buf_printf(text, "%s\n", argv[i]) < 0)
			return err_set(err, ERR_INVALID, "the command line is too long to show");
	return 0;
}

static void fake_power_button(struct vm *vm)
{
	struct fake *fake = fake_of(vm);

	fake->asked = true;
	child_signal(fake->child, SIGTERM);
}

static void fake_kill(struct vm *vm)
{
	struct fake *fake = fake_of(vm);

	fake->asked = true;
	child_signal(fake->child, SIGKILL);
}

static pid_t fake_pid(const struct vm *vm)
{
	return child_pid(((const struct fake *)(const void *)vm)->child);
}

const struct vm_ops vm_fake = {
    .name = "fake",
    .start = fake_start,
    .describe = fake_describe,
    .power_button = fake_power_button,
    .kill = fake_kill,
    .pid = fake_pid,
    .free = fake_free,
};
