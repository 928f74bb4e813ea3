#include "base/mem.h"
#include "base/safe_text.h"
#include "cli/command.h"
#include "cli/enter.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

static void print_text(const char *label, const char *text)
{
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);

	(void)printf("%-12s%s\n", label, safe);
}

static void print_status(const struct message_status *s)
{
	print_text("state", s->state);
	print_text("guest", s->guest);
	(void)printf("%-12s%u, accelerator %s\n", "cpus", s->cpus, s->accelerator);
	(void)printf("%-12s%llu MiB, of which the host holds %llu MiB\n", "memory",
		     (unsigned long long)(s->memory_bytes / MIB),
		     (unsigned long long)(s->resident_bytes / MIB));
	(void)printf("%-12s%llu s; it took %.1f s to be ready\n", "up",
		     (unsigned long long)(s->uptime_ms / 1000), (double)s->boot_ms / 1000);
	(void)printf("%-12s%u\n", "sessions", s->sessions);
	(void)printf("%-12ssupervisor %u, machine %u\n", "processes", s->supervisor_pid,
		     s->machine_pid);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	auto_client struct client *client = NULL;
	struct message_status status = {0};
	auto_buf struct buf reply;

	buf_init(&reply, PROTO_MESSAGE_MAX);
	if (command_project(invocation, &project, err) < 0)
		return -1;
	print_text("project", project.root);
	print_text("files", project.data_dir);
	if (enter_running(&project, &client, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		print_text("state", "not running");
		return 0;
	}
	if (client_call(client, PROTO_STATUS, &reply, err) < 0 ||
	    message_status_decode(&status, buf_data(&reply), buf_length(&reply), err) < 0)
		return -1;
	print_status(&status);
	message_status_done(&status);
	return 0;
}

const struct command cmd_status = {
    .name = "status",
    .arguments = "",
    .summary = "say whether the VM runs, and what it costs",
    .run = run,
};
