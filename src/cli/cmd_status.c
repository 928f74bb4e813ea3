#include "base/mem.h"
#include "base/safe_text.h"
#include "base/tree.h"
#include "cli/command.h"
#include "cli/cost.h"
#include "cli/enter.h"
#include "project/data_dir.h"
#include "project/saved.h"
#include "wire/message.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

static const struct option status_options[] = {
    {.name = "json", .summary = "print JSON"},
    {0},
};

static void print_text(const char *label, const char *text)
{
	auto_free char *safe = safe_text(text, strlen(text), SAFE_TEXT_LINE);

	(void)printf("%-12s%s\n", label, safe);
}

static void print_idle(const struct message_status *s)
{
	if (s->kept)
		print_text("idle", "kept running; `dxvm keep off` ends that");
	else if (s->idle_s == 0)
		print_text("idle", "it runs until it is stopped");
	else
		(void)printf("%-12ssuspended after %u s without use\n", "idle", s->idle_s);
}

/* Besides the guest's memory. */
static uint64_t overhead(const struct message_status *s)
{
	return cost_of_process((pid_t)s->supervisor_pid) + cost_of_process((pid_t)s->machine_pid);
}

static void print_overhead(const struct message_status *s)
{
	uint64_t bytes = overhead(s);

	if (bytes > 0)
		(void)printf("%-12s%llu MiB of memory for supervisor and machine\n", "overhead",
			     (unsigned long long)((bytes + MIB - 1) / MIB));
}

static void print_status(const struct message_status *s)
{
	auto_free char *accelerator =
	    safe_text(s->accelerator, strlen(s->accelerator), SAFE_TEXT_LINE);
	bool paused = strcmp(s->state, "paused") == 0;

	print_text("state", paused ? "paused, because the host's disk is full; it goes on when "
				     "there is room"
				   : s->state);
	print_text("guest", s->guest);
	(void)printf("%-12s%u, accelerator %s\n", "cpus", s->cpus, accelerator);
	(void)printf("%-12s%llu MiB, of which the host holds %llu MiB\n", "memory",
		     (unsigned long long)(s->memory_bytes / MIB),
		     (unsigned long long)(s->resident_bytes / MIB));
	(void)printf("%-12s%llu s; it took %.1f s to be ready\n", "up",
		     (unsigned long long)(s->uptime_ms / 1000), (double)s->boot_ms / 1000);
	(void)printf("%-12s%u\n", "sessions", s->sessions);
	if (!paused)
		print_idle(s);
	print_overhead(s);
	(void)printf("%-12ssupervisor %u, machine %u\n", "processes", s->supervisor_pid,
		     s->machine_pid);
}

static bool has_vm(const struct project *project)
{
	auto_close int data_dir = -1;
	struct err ignored = ERR_INIT;

	return data_dir_open_unknown(project, &data_dir, &ignored) == 0;
}

/* Of a VM that does not run. */
static bool is_suspended(const struct project *project, uint64_t *ret_bytes)
{
	auto_close int data_dir = -1;
	struct err ignored = ERR_INIT;

	return data_dir_open(project, &data_dir, NULL, &ignored) == 0 &&
	       saved_is_there(data_dir, ret_bytes);
}

static void print_json(const struct project *project, const struct message_status *s)
{
	uint64_t bytes = 0;
	bool suspended = !s && is_suspended(project, &bytes);
	auto_free char *root = safe_text(project->root, strlen(project->root), SAFE_TEXT_LINE);
	auto_free char *files =
	    safe_text(project->data_dir, strlen(project->data_dir), SAFE_TEXT_LINE);
	const char *state = s ? s->state : suspended ? "suspended" : "not running";
	json_auto_t *all =
	    json_pack("{s:s, s:s, s:s, s:I}", "project", root, "files", files, "state", state,
		      "disk_bytes", (json_int_t)tree_bytes(AT_FDCWD, project->data_dir));

	if (suspended)
		(void)json_object_set_new(all, "saved_bytes", json_integer((json_int_t)bytes));
	if (s) {
		json_auto_t *more = json_pack(
		    "{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:b, s:i, s:i}", "guest",
		    s->guest, "accelerator", s->accelerator, "cpus", (int)s->cpus, "memory_bytes",
		    (json_int_t)s->memory_bytes, "resident_bytes", (json_int_t)s->resident_bytes,
		    "overhead_bytes", (json_int_t)overhead(s), "uptime_ms",
		    (json_int_t)s->uptime_ms, "boot_ms", (json_int_t)s->boot_ms, "sessions",
		    (int)s->sessions, "idle_s", (int)s->idle_s, "kept", s->kept, "supervisor_pid",
		    (int)s->supervisor_pid, "machine_pid", (int)s->machine_pid);

		(void)json_object_update(all, more);
	}
	(void)json_dumpf(all, stdout, JSON_INDENT(2));
	(void)putchar('\n');
}

/* s is NULL when it does not run. */
static void print(const struct project *project, const struct message_status *s)
{
	uint64_t bytes = 0;

	print_text("project", project->root);
	print_text("files", project->data_dir);
	(void)printf("%-12s%.1f MiB on the host\n", "disk",
		     (double)tree_bytes(AT_FDCWD, project->data_dir) / (double)MIB);
	if (s)
		print_status(s);
	else if (is_suspended(project, &bytes))
		(void)printf("%-12ssuspended, its memory takes %llu MiB on disk\n", "state",
			     (unsigned long long)(bytes / MIB));
	else
		print_text("state",
			   has_vm(project) ? "not running" : "no VM yet; `dxvm install` makes one");
}

static int ask(struct client *client, void *ret_status, struct err *err)
{
	auto_buf struct buf reply;

	buf_init(&reply, PROTO_MESSAGE_MAX);
	if (client_call(client, PROTO_STATUS, &reply, err) < 0)
		return -1;
	return message_status_decode(ret_status, buf_data(&reply), buf_length(&reply), err);
}

static int run(const struct invocation *invocation, struct err *err)
{
	auto_project struct project project = {0};
	struct message_status status = {0};

	if (command_project(invocation, &project, err) < 0)
		return -1;
	bool json = options_flag(&invocation->options, "json");
	if (enter_ask(&project, ask, &status, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		json ? print_json(&project, NULL) : print(&project, NULL);
		return 0;
	}
	json ? print_json(&project, &status) : print(&project, &status);
	message_status_done(&status);
	return 0;
}

const struct command cmd_status = {
    .name = "status",
    .arguments = "",
    .summary = "say whether the VM runs, and what it costs",
    .options = status_options,
    .any_project = true,
    .run = run,
};
